#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "controller/cli/bench/dispatch.hpp"
#include "controller/cli/bench/report.hpp"

namespace millrace::cli {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;

/// Two rounds on a machine of 400 and 200 FLOP/s; a model of 10 FLOP an image.
BenchReport small_report() {
  BenchReport report{"alexnet", 64, {0, 2, 3}, 10, {{150, 400}, {100, 200}}, {}};
  report.entries = {{"one core", "nhwc", {{10, 1000, {}}, {4, 3000, {}}}},
                    {"libtorch", "nchw", {{15, 2000, {}}, {8, 2000, {}}}},
                    {"libtorch tuned", "needs a package", {}},
                    {"plan",
                     "",
                     {{20, 4000, BenchEstimate{80, 110, 130, 100, 6}},
                      {16, 4000, BenchEstimate{90, 90, 130, 100, 2}}}}};
  return report;
}

TEST(Median, IsTheMiddleOrTheMeanOfBothMiddles) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 2, 9}), 3);
}

TEST(BenchRatios, AreMediansOfTheRoundsRatios) {
  const BenchRatios own = ratios(small_report());
  EXPECT_THAT(*own.reduction_percent, DoubleNear((50.0 + 75.0) / 2, 1e-9));
  EXPECT_THAT(*own.speedup_over_libtorch, DoubleNear((20.0 / 15 + 2.0) / 2, 1e-9));
  EXPECT_THAT(*own.roof_fraction, DoubleNear((20.0 / 40 + 16.0 / 20) / 2, 1e-9));
}

TEST(BenchRatios, AreAbsentWhereAnEntryIs) {
  BenchReport report = small_report();
  EXPECT_FALSE(ratios(report).speedup_over_libtorch_tuned.has_value());
  report.entries.erase(report.entries.begin());
  EXPECT_FALSE(ratios(report).reduction_percent.has_value());
  report.entries.pop_back();
  EXPECT_FALSE(ratios(report).speedup_over_libtorch.has_value());
  EXPECT_FALSE(ratios(report).roof_fraction.has_value());
  EXPECT_FALSE(estimate_summary(report).has_value());
}

TEST(EstimateSummary, DoesNotLetErrorsCancel) {
  const auto summary = estimate_summary(small_report());
  ASSERT_TRUE(summary.has_value());
  EXPECT_EQ(summary->mean.predicted_ns, 85);
  EXPECT_EQ(summary->mean.expected_ns, 100);
  EXPECT_EQ(summary->mean.latest_ns, 130);
  EXPECT_EQ(summary->mean.measured_ns, 100);
  EXPECT_EQ(summary->mean.noise_percent, 4);
  EXPECT_THAT(summary->error_percent, DoubleNear(10, 1e-9));
  EXPECT_THAT(summary->predicted_error_percent, DoubleNear(15, 1e-9));
}

TEST(BenchJson, HasTheFieldsThatScriptsUse) {
  const auto json = nlohmann::json::parse(to_json(small_report()));
  EXPECT_EQ(json.at("model"), "alexnet");
  EXPECT_EQ(json.at("batch"), 64);
  EXPECT_EQ(json.at("rounds"), 2);
  EXPECT_EQ(json.at("cpus"), (std::vector<int>{0, 2, 3}));
  EXPECT_EQ(json.at("matrix_rate").at("one_core_flops_per_second"), 125);
  EXPECT_EQ(json.at("matrix_rate").at("all_cores_flops_per_second"), 300);
  EXPECT_EQ(json.at("flops_per_image"), 10);
  EXPECT_EQ(json.at("roof_images_per_second"), 30);
  EXPECT_EQ(json.at("reduction_percent"), 62.5);
  EXPECT_TRUE(json.at("speedup_over_libtorch").is_number());
  EXPECT_TRUE(json.at("speedup_over_libtorch_tuned").is_null());
  EXPECT_TRUE(json.at("roof_fraction").is_number());
  for (const char* field : {"predicted_ns", "expected_ns", "latest_ns", "measured_ns",
                            "error_percent", "predicted_error_percent", "noise_percent"}) {
    EXPECT_TRUE(json.at("estimate").at(field).is_number()) << field;
  }
  const auto& one = json.at("entries").at(0);
  EXPECT_EQ(one.at("name"), "one core");
  EXPECT_EQ(one.at("images_per_second").at("median"), 7);
  EXPECT_EQ(one.at("images_per_second").at("min"), 4);
  EXPECT_EQ(one.at("images_per_second").at("max"), 10);
  EXPECT_EQ(one.at("peak_rss_bytes"), 3000);
}

TEST(BenchJson, AnEntryThatCouldNotBeMeasuredIsNullAndSaysWhy) {
  const auto json = nlohmann::json::parse(to_json(small_report()));
  const auto& tuned = json.at("entries").at(2);
  EXPECT_TRUE(tuned.at("images_per_second").is_null());
  EXPECT_TRUE(tuned.at("peak_rss_bytes").is_null());
  EXPECT_EQ(tuned.at("note"), "needs a package");
}

TEST(BenchTable, ShowsEveryEntryInAHundredColumns) {
  const std::string table = to_table(small_report());
  for (const BenchEntry& entry : small_report().entries) EXPECT_THAT(table, HasSubstr(entry.name));
  EXPECT_THAT(table, HasSubstr("not measured: needs a package"));
  EXPECT_THAT(table, HasSubstr("CPUs 0,2-3"));
  EXPECT_THAT(table, HasSubstr("foretold by 2 s right before: 4.0 % off"));
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
}

TEST(DispatchReport, SaysWhatIsUsedWhileWaiting) {
  const DispatchReport report{
      {0, 1}, {{"1 stage of 2 workers", 900, 140, 2600, {}}, {"waited", 30, 4e4, 9e4, 0.012}}};
  EXPECT_EQ(to_table(report),
            "tasks that do nothing, on CPUs 0-1\n\n"
            "                                    tasks     median       99 %\n"
            "1 stage of 2 workers                  900     0.1 us     2.6 us\n"
            "waited                                 30    40.0 us    90.0 us   1.2 % of a core is "
            "used meanwhile\n");
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json["rows"][1]["p99_ns"], 9e4);
  EXPECT_EQ(json["rows"][1]["core_share"], 0.012);
  EXPECT_FALSE(json["rows"][0].contains("core_share"));
}

}  // namespace
}  // namespace millrace::cli
