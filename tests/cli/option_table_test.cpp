#include "controller/cli/option_table.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

PlanOption option(int cores, double run_s) {
  PlanOption option;
  option.cores = cores;
  option.batch = 64;
  Plan plan;
  plan.batch = 64;
  plan.micro_batch = 32;
  plan.micro_batches = 2;
  plan.memory_bytes = 3 << 20;
  PlanStage stage;
  stage.layers = {"a"};
  for (int cpu = 0; cpu < cores; ++cpu) stage.devices.push_back({"core", cpu});
  plan.stages = {stage};
  option.plan = plan;
  option.estimate.step = {1e9, 2e9};
  option.estimate.run = {run_s * 1e9, 2 * run_s * 1e9};
  option.estimate.images_per_second = 64;
  option.efficiency_percent = 87.5;
  return option;
}

PlanOption no_option(int cores) {
  PlanOption none;
  none.cores = cores;
  none.batch = 64;
  none.why_not = "needs 412 MiB, the budget is 256 MiB";
  return none;
}

TEST(OptionTable, JsonHasARowForEachOption) {
  const OptionTable table{"alexnet", "", {no_option(1), option(2, 50)}, {}};
  const auto json = json_of(table);
  EXPECT_EQ(json.at("model"), "alexnet");
  EXPECT_EQ(json.at("times_are_scaled"), false);
  EXPECT_TRUE(json.at("board").is_null());
  EXPECT_TRUE(json.at("deadline").is_null());
  EXPECT_EQ(json.at("confidence"), 0.99);
  ASSERT_EQ(json.at("rows").size(), 2u);
  const auto& none = json["rows"][0];
  EXPECT_EQ(none.at("cores"), 1);
  EXPECT_EQ(none.at("why_not"), "needs 412 MiB, the budget is 256 MiB");
  EXPECT_FALSE(none.contains("run"));
  const auto& row = json["rows"][1];
  EXPECT_EQ(row.at("batch"), 64);
  EXPECT_EQ(row.at("step").at("latest_ns"), 2e9);
  EXPECT_EQ(row.at("run").at("expected_ns"), 50e9);
  EXPECT_EQ(row.at("images_per_second"), 64);
  EXPECT_EQ(row.at("memory_bytes"), 3 << 20);
  EXPECT_EQ(row.at("efficiency_percent"), 87.5);
  EXPECT_EQ(row.at("plan").at("micro_batch"), 32);
  EXPECT_EQ(row.at("plan").at("schedule"), "1f1b");
  EXPECT_EQ(row.at("plan").at("stage_cores"), std::vector<int>{2});
  EXPECT_FALSE(row.contains("chosen"));
}

TEST(OptionTable, TheChosenRowIsMarked) {
  OptionTable table{"alexnet", "", {option(1, 90), option(2, 50), option(4, 30)}, {}};
  table.deadline = choose_for_deadline(table.options, 1'800'000'000, 100e9);
  EXPECT_EQ(table.deadline->chosen, 1u);
  const auto json = json_of(table);
  EXPECT_EQ(json.at("deadline").at("at"), "2027-01-15T08:00:00Z");
  EXPECT_EQ(json.at("deadline").at("left_ns"), 100e9);
  EXPECT_EQ(json["rows"][0].at("in_time"), false);
  EXPECT_EQ(json["rows"][1].at("in_time"), true);
  EXPECT_EQ(json["rows"][1].at("chosen"), true);
  EXPECT_EQ(json["rows"][2].at("in_time"), true);
  EXPECT_EQ(json["rows"][2].at("chosen"), false);
  EXPECT_THAT(text_of(table), AllOf(HasSubstr("\n*     2     64"), HasSubstr("\n      1     64"),
                                    HasSubstr("* the fewest cores whose latest time")));
}

TEST(OptionTable, TextSaysWhatIsScaledAndWhyThereIsNoPlan) {
  OptionTable table{"alexnet", "", {no_option(1), option(2, 50)}, {}};
  EXPECT_THAT(text_of(table),
              AllOf(HasSubstr("no plan: needs 412 MiB"), HasSubstr("2 x 32 samples: 2 cores"),
                    HasSubstr("50.0 s"), HasSubstr("88 %"), Not(HasSubstr("scaled"))));
  table.board = "rk3588";
  EXPECT_THAT(text_of(table), HasSubstr("scaled by the speeds of rk3588's cores"));
  EXPECT_EQ(json_of(table).at("times_are_scaled"), true);
  EXPECT_EQ(json_of(table).at("board"), "rk3588");
}

TEST(ChooseForDeadline, NobodyInTimeIsNoPlanAndNamesTheFastest) {
  EXPECT_THAT(
      [] {
        choose_for_deadline({option(1, 90), option(2, 50)}, 0, 20e9);
      },
      ThrowsMessage<NoPlanError>(AllOf(HasSubstr("2 cores"), HasSubstr("50.0 s (latest"),
                                       HasSubstr("in 20.0 s"), HasSubstr("--deadline"))));
  EXPECT_THAT([] { choose_for_deadline({no_option(1)}, 0, 20e9); },
              ThrowsMessage<NoPlanError>(HasSubstr("412 MiB")));
}

}  // namespace
}  // namespace millrace::cli
