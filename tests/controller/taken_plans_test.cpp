#include "controller/taken_plans.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "millrace/errors.hpp"
#include "tests/controller/estimate/example.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TakenPlansTest : public ScratchFolder {
 protected:
  Plan plan(std::int64_t batch) const {
    Plan plan = testing::example_plan();
    plan.batch = batch;
    return plan;
  }
  const Profile costs_ = testing::example_profile(2);
  const TakenPlans taken_{scratch_ / "plans"};
};

TEST_F(TakenPlansTest, AreNoneAtFirst) {
  EXPECT_THAT(taken_.steps(), IsEmpty());
  EXPECT_FALSE(taken_.in_force(100));
  taken_.remove_after(0);
}

TEST_F(TakenPlansTest, AreReadBackInOrder) {
  taken_.add(100, plan(32), costs_);
  taken_.add(20, plan(16), costs_);
  EXPECT_THAT(taken_.steps(), ElementsAre(20, 100));
  const auto [plan, costs] = TakenPlans::read(taken_.files_of(100));
  EXPECT_EQ(plan.batch, 32);
  EXPECT_EQ(costs, costs_);
}

TEST_F(TakenPlansTest, TheLastOneAtAStepIsInForce) {
  taken_.add(20, plan(16), costs_);
  taken_.add(100, plan(32), costs_);
  EXPECT_FALSE(taken_.in_force(19));
  EXPECT_EQ(taken_.in_force(20)->plan, taken_.files_of(20).plan);
  EXPECT_EQ(taken_.in_force(99)->costs, taken_.files_of(20).costs);
  EXPECT_EQ(taken_.in_force(100)->plan, taken_.files_of(100).plan);
}

TEST_F(TakenPlansTest, LaterOnesGo) {
  for (const std::int64_t step : {20, 30, 100}) taken_.add(step, plan(16), costs_);
  taken_.remove_after(20);
  EXPECT_THAT(taken_.steps(), ElementsAre(20));
  EXPECT_FALSE(std::filesystem::exists(taken_.files_of(30).costs));
}

TEST_F(TakenPlansTest, CostsWithoutTheirPlanCountForNothing) {
  taken_.add(20, plan(16), costs_);
  std::filesystem::remove(taken_.files_of(20).plan);
  EXPECT_THAT(taken_.steps(), IsEmpty());
}

TEST_F(TakenPlansTest, ABrokenFileIsNamed) {
  taken_.add(20, plan(16), costs_);
  std::ofstream(taken_.files_of(20).plan) << "{";
  try {
    TakenPlans::read(taken_.files_of(20));
    FAIL() << "it was read";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("20.json"));
  }
}

}  // namespace
}  // namespace millrace
