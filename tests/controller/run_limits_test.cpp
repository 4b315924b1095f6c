#include "controller/run_limits.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "controller/training_run.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;
constexpr std::int64_t kSecond = 1'000'000'000;

class RunLimitsTest : public ScratchFolder {
 protected:
  void write(const std::string& file, std::int64_t value) const {
    write(file, std::to_string(value));
  }
  void write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = root() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  void rapl(std::int64_t uj) const {
    write("sys/class/powercap/intel-rapl:0/name", "package-0");
    write("sys/class/powercap/intel-rapl:0/max_energy_range_uj", 10'000'000);
    write("sys/class/powercap/intel-rapl:0/energy_uj", uj);
  }
  void power(std::int64_t uw) const { write("sys/class/hwmon/hwmon0/power1_input", uw); }
  void heat(std::int64_t millidegrees) const {
    write("sys/class/thermal/thermal_zone0/temp", millidegrees);
  }
  std::filesystem::path root() const { return scratch_ / "root"; }
  RunLimits energy(double joules, double used = 0) const {
    return RunLimits({joules, {}, root()}, used, 0);
  }
};

TEST_F(RunLimitsTest, WithoutSensorsTheyAreRefused) {
  EXPECT_THROW(energy(5), ConfigError);
  EXPECT_THROW(RunLimits({{}, 70, root()}, 0, 0), ConfigError);
  RunLimits none({{}, {}, root()}, 0, 0);
  none.look(kSecond);
  EXPECT_EQ(none.reached(), "");
}

TEST_F(RunLimitsTest, ACounterThatBeginsAnewCountsOn) {
  rapl(8'000'000);
  RunLimits limits = energy(5);
  rapl(9'500'000);
  limits.look(kSecond);
  EXPECT_DOUBLE_EQ(limits.used_joules(), 1.5);
  rapl(1'000'000);
  limits.look(2 * kSecond);
  EXPECT_DOUBLE_EQ(limits.used_joules(), 3);
  EXPECT_EQ(limits.reached(), "");
  rapl(3'000'000);
  limits.look(3 * kSecond);
  EXPECT_EQ(limits.reached(), "the energy budget of 5 J is used up (5 J)");
}

TEST_F(RunLimitsTest, PowerCountsForTheTimeThatItLasts) {
  power(2'000'000);
  RunLimits limits = energy(5);
  limits.look(kSecond / 2);
  EXPECT_DOUBLE_EQ(limits.used_joules(), 1);
  power(4'000'000);
  limits.look(3 * kSecond / 2);
  EXPECT_DOUBLE_EQ(limits.used_joules(), 5);
  EXPECT_NE(limits.reached(), "");
}

TEST_F(RunLimitsTest, WhatTheRunUsedBeforeCounts) {
  rapl(1);
  EXPECT_NE(energy(5, 6).reached(), "");
  EXPECT_EQ(energy(5, 4).reached(), "");
}

TEST_F(RunLimitsTest, ASensorThatIsGoneStopsNothing) {
  rapl(1);
  RunLimits limits = energy(5);
  std::filesystem::remove_all(root());
  limits.look(kSecond);
  EXPECT_EQ(limits.used_joules(), 0);
}

TEST_F(RunLimitsTest, HeatEndsARun) {
  heat(60'000);
  RunLimits limits({{}, 70, root()}, 0, 0);
  limits.look(kSecond);
  EXPECT_EQ(limits.reached(), "");
  heat(70'500);
  limits.look(2 * kSecond);
  EXPECT_EQ(limits.reached(), "the machine has 70.5 degrees Celsius, 70.0 are allowed");
}

TEST_F(RunLimitsTest, ACounterThatFallsByMoreThanItsRangeTakesNothingBack) {
  rapl(25'000'000);
  RunLimits limits = energy(5);
  rapl(1'000'000);
  limits.look(kSecond);
  EXPECT_DOUBLE_EQ(limits.used_joules(), 0);
}

/// Each step uses a joule.
class LimitedRun : public RunLimitsTest {
 protected:
  LimitedRun() {
    rapl(0);
    heat(40'000);
    session_.before_step = [this](std::int64_t step) {
      rapl((step + 1) * 1'000'000);
      heat(40'000 + step * 5000);
    };
  }
  TrainingResult run(RunLimits::Settings limits, bool resume = false) {
    TrainingSettings settings = fake_settings(session_, 9);
    limits.root = root();
    limits.interval_ns = 0;
    settings.limits = limits;
    settings.resume = resume;
    return run_training(session_, folder_, settings, observer_);
  }

  FakeSession session_{1000};
  RunFolder folder_ = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer_;
};

TEST_F(LimitedRun, EndsWithACheckpointAndGoesOnWithMoreEnergy) {
  const TrainingResult result = run({.energy_joules = 4});
  EXPECT_EQ(result.outcome, TrainingOutcome::finished);
  EXPECT_EQ(result.steps, 4);
  EXPECT_THAT(result.reached_limit, HasSubstr("energy"));
  EXPECT_DOUBLE_EQ(result.energy_joules, 4);
  EXPECT_EQ(CheckpointFolder(folder_.checkpoints()).open("last").info.energy_joules, 4);
  EXPECT_EQ(run({.energy_joules = 4}, true).steps, 4) << "nothing is left";
  const TrainingResult more = run({.energy_joules = 6}, true);
  EXPECT_EQ(more.steps, 6);
  EXPECT_DOUBLE_EQ(more.energy_joules, 6);
}

TEST_F(LimitedRun, EndsWhereTheMachineIsHot) {
  const TrainingResult result = run({.max_celsius = 55});
  EXPECT_EQ(result.steps, 4);
  EXPECT_THAT(result.reached_limit, HasSubstr("degrees"));
  EXPECT_EQ(CheckpointFolder(folder_.checkpoints()).steps().back(), 4);
}

TEST_F(LimitedRun, AnEndThatComesFirstIsTheEnd) {
  const TrainingResult result = run({.energy_joules = 100, .max_celsius = 100});
  EXPECT_EQ(result.steps, 9);
  EXPECT_EQ(result.reached_limit, "");
}

}  // namespace
}  // namespace millrace
