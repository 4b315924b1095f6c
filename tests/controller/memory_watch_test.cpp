#include "controller/memory_watch.hpp"

#include <gmock/gmock.h>

#include "controller/training_run.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kSecond = 1'000'000'000;

class MemoryWatchTest : public ::testing::Test {
 protected:
  MemoryState now_{1000, 500, 0, 0};
  int looks_ = 0;
  MemoryWatch watch_{[this] {
    ++looks_;
    return std::optional(now_);
  }};
};

TEST_F(MemoryWatchTest, LooksOnceASecond) {
  for (int tenth = 0; tenth < 30; ++tenth) EXPECT_FALSE(watch_.pressed(tenth * kSecond / 10));
  EXPECT_EQ(looks_, 3);
}

TEST_F(MemoryWatchTest, LittleIsPressure) {
  now_.left_bytes = 31;
  EXPECT_FALSE(watch_.pressed(0));
  now_.left_bytes = 29;
  EXPECT_EQ(watch_.pressed(kSecond), "29 B of 1000 B are left");
}

TEST_F(MemoryWatchTest, ALimitThatIsReachedIsPressureWhereNotMuchIsLeft) {
  now_.hits = 7;  // before the run
  now_.left_bytes = 90;
  EXPECT_FALSE(watch_.pressed(0));
  now_.hits = 9;
  EXPECT_THAT(watch_.pressed(kSecond).value(), HasSubstr("the limit was reached"));
  EXPECT_FALSE(watch_.pressed(2 * kSecond)) << "not again";
  now_ = {1000, 400, 10, 0, {}};
  EXPECT_FALSE(watch_.pressed(3 * kSecond)) << "of the file cache alone";
  now_ = {1000, 90, 99, 0, "another group"};
  EXPECT_FALSE(watch_.pressed(4 * kSecond)) << "its hits may be old";
}

TEST_F(MemoryWatchTest, WaitingIsPressureWhereNotMuchIsLeft) {
  now_.stalled_percent = 12;
  EXPECT_FALSE(watch_.pressed(0));
  now_.left_bytes = 90;
  EXPECT_THAT(watch_.pressed(kSecond).value(), HasSubstr("waited for memory 12 %"));
}

TEST_F(MemoryWatchTest, WaitsForAnEffectAndGivesUpWithoutAPlan) {
  now_.left_bytes = 10;
  EXPECT_TRUE(watch_.pressed(0));
  watch_.answered(0, true);
  EXPECT_FALSE(watch_.pressed(9 * kSecond));
  EXPECT_TRUE(watch_.pressed(10 * kSecond));
  watch_.answered(10 * kSecond, false);
  EXPECT_FALSE(watch_.pressed(100 * kSecond));
}

TEST(MemoryWatch, NothingIsNoPressure) {
  EXPECT_FALSE(MemoryWatch({}).pressed(0));
  EXPECT_FALSE(MemoryWatch([] { return std::optional<MemoryState>(); }).pressed(0));
}

/// Steps of 0.72 s of a plan that needs 1000 bytes.
class UnderPressure : public ScratchFolder {
 protected:
  UnderPressure() {
    session_.scale(1'000'000);
    needs(session_, 1000);
    session_.taken.clear();
    session_.offers = [this]() -> std::optional<PlanOffer> {
      const std::int64_t most = session_.limits.back();
      if (most < 500) throw NoPlanError("plan", "needs 500 B");
      PlanOffer offer{session_.plan(), session_.profile(), {}};
      offer.plan.memory_bytes = most;
      return offer;
    };
  }
  static void needs(FakeSession& session, std::int64_t bytes) {
    Plan plan = session.plan();
    plan.memory_bytes = bytes;
    session.take_plan(plan, session.profile());
  }
  TrainingResult run() {
    TrainingSettings settings = fake_settings(session_, 100);
    settings.memory = [] { return std::optional(left()); };
    return run_training(session_, folder_, settings, observer_);
  }
  static MemoryState left() { return {1000, 10, 0, 0}; }

  FakeSession session_{1000};
  RunFolder folder_ = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer_;
};

TEST_F(UnderPressure, TheRunTakesSmallerPlansWhileThereAreAny) {
  const TrainingResult result = run();
  EXPECT_EQ(result.steps, 100);
  EXPECT_EQ(result.plan_changes, 3);
  EXPECT_EQ(session_.plan().memory_bytes, 505);
  EXPECT_THAT(session_.limits, ElementsAre(750, 562, 421, 505, 378, 454)) << "and no more";
}

}  // namespace
}  // namespace millrace
