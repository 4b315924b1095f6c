// What benchmarks of whole trainings say, from values.

#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <thread>

#include "controller/checkpoint.hpp"
#include "controller/cli/bench/bench_folder.hpp"
#include "controller/cli/bench/estimates.hpp"
#include "controller/cli/bench/kills.hpp"
#include "controller/cli/bench/noise.hpp"
#include "controller/cli/bench/soak.hpp"
#include "framework/affinity/affinity.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;

ProcessSpec script(const std::string& text) { return {{"/bin/sh", "-c", text}, {}, {}, {}}; }

TEST(Process, IsKilledAndKeepsWhatItSaid) {
  Process process(script("echo begun; exec sleep 60"));
  EXPECT_FALSE(process.ends_within(200));
  process.kill();
  EXPECT_TRUE(process.ends_within(10'000));
  EXPECT_EQ(process.finish().output, "begun\n");
}

TEST(Process, EndsByItself) {
  Process process(script("echo done"));
  EXPECT_TRUE(process.ends_within(10'000));
  EXPECT_EQ(process.finish().output, "done\n");
}

TEST(Process, AKillByOthersIsAnError) {
  Process process(script("kill -9 $$"));
  EXPECT_TRUE(process.ends_within(10'000));
  EXPECT_THROW(process.finish(), InternalError);
}

class BenchFolderFiles : public ScratchFolder {
 protected:
  BenchFolderFiles() { setenv("TMPDIR", scratch_.c_str(), 1); }
  ~BenchFolderFiles() override {
    if (before_.empty())
      unsetenv("TMPDIR");
    else
      setenv("TMPDIR", before_.c_str(), 1);
  }
  /// The letter that Linux has for what the process does; '-' where it is gone.
  static char state_of(const std::string& process) {
    std::ifstream file("/proc/" + process + "/stat");
    std::string number, name, state;
    return file >> number >> name >> state ? state.front() : '-';
  }
  template <typename Condition>
  static bool comes_true(const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return condition();
  }

 private:
  const char* const set_ = std::getenv("TMPDIR");
  const std::string before_ = set_ != nullptr ? set_ : "";
};

TEST_F(BenchFolderFiles, AreGoneAtTheEnd) {
  std::filesystem::path path;
  {
    const BenchFolder folder;
    path = folder.path();
    EXPECT_EQ(path.parent_path(), scratch_);
    std::ofstream(path / "file") << "text";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(BenchFolderFiles, AreGoneWithTheProgramAfterASignal) {
  const auto named = scratch_ / "pid";
  const auto until_signalled = [&] {
    const BenchFolder folder;
    Process process(script("cd " + folder.path().string() + "; echo $$ > " + named.string() +
                           "; while :; do i=$((i + 1)); : > $i; done"));
    if (comes_true([&] { return std::filesystem::exists(folder.path() / "100"); }))
      kill(getpid(), SIGTERM);
    else
      process.kill();
    process.finish();
  };
  EXPECT_EXIT(until_signalled(), ::testing::KilledBySignal(SIGTERM), "");
  std::string process;
  std::ifstream(named) >> process;
  ASSERT_FALSE(process.empty());
  std::filesystem::remove(named);
  EXPECT_TRUE(std::filesystem::is_empty(scratch_));
  EXPECT_TRUE(comes_true([&] { return state_of(process) == '-' || state_of(process) == 'Z'; }));
}

TEST_F(BenchFolderFiles, StayWhereTheSignalIsIgnored) {
  const auto hung_up = [] {
    std::signal(SIGHUP, SIG_IGN);
    std::filesystem::path path;
    bool stays = false;
    {
      const BenchFolder folder;
      path = folder.path();
      kill(getpid(), SIGHUP);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // for who would remove it
      stays = std::filesystem::exists(path);
    }
    std::_Exit(stays && !std::filesystem::exists(path) ? 0 : 1);
  };
  EXPECT_EXIT(hung_up(), ::testing::ExitedWithCode(0), "");
}

class SameState : public ScratchFolder {
 protected:
  void save(const std::string& run, std::int64_t step, std::vector<float> values) const {
    CheckpointInfo info;
    info.step = step;
    const CheckpointFolder folder(scratch_ / run / "checkpoints");
    folder.prepare();
    folder.save(info, {{{"w", "F32", {2}, values.data(), 8}, values.data()}});
  }
};

TEST_F(SameState, NeedsTheSameStepAndBits) {
  save("a", 3, {1, 2});
  save("same", 3, {1, 2});
  save("bits", 3, {1, 2.0000002F});
  save("step", 4, {1, 2});
  EXPECT_TRUE(same_state(scratch_ / "a", scratch_ / "same"));
  EXPECT_FALSE(same_state(scratch_ / "a", scratch_ / "bits"));
  EXPECT_FALSE(same_state(scratch_ / "a", scratch_ / "step"));
}

TEST(Soak, ComparesTheSecondTenthWithTheLast) {
  std::vector<Footprint> samples(20, {100, 4, 9});
  samples[0] = {10, 1, 3};  // it starts
  samples[5] = {500, 9, 20};
  samples[18] = samples[19] = {110, 5, 10};
  SoakReport report;
  summarise(samples, report);
  EXPECT_EQ(report.early, (Footprint{100, 4, 9}));
  EXPECT_EQ(report.late, (Footprint{110, 5, 10}));
  EXPECT_EQ(report.most, (Footprint{500, 9, 20}));
  EXPECT_THAT(to_table(report), HasSubstr("memory grew by 10.0 %"));
}

TEST(Noise, IsHowFarTheLoopIsFromWhatItsBeginningSaid) {
  EXPECT_DOUBLE_EQ(foretelling_error_percent({10, 10, 10}, {20, 20}), 50);
  EXPECT_DOUBLE_EQ(foretelling_error_percent({10, 10, 10}, {8, 8}), 25);
  std::vector<int> cpus = this_thread_cpus();
  cpus.resize(std::min<std::size_t>(cpus.size(), 2));
  const std::vector<double> steps = loop_steps_ns(cpus, 0.05);
  EXPECT_GE(std::accumulate(steps.begin(), steps.end(), 0.0), 0.05e9);
  EXPECT_TRUE(std::isfinite(loop_error_percent(cpus, 0)));
}

TEST(Estimates, SumUpWhatWasTrained) {
  EstimatesReport report{{{"lenet5", 64, "the best", "", 10, 90, 99, 100, 3},
                          {"lenet5", 64, "recomputed", "not possible, see above"},
                          {"mlp", 32, "one core", "", 10, 102, 112.2, 100, 1}}};
  const EstimatesSummary summary = summary_of(report);
  EXPECT_EQ(summary.trained, 2);
  EXPECT_EQ(summary.kept, 1);
  EXPECT_DOUBLE_EQ(summary.mean_error_percent, 6);
  EXPECT_DOUBLE_EQ(summary.largest_error_percent, 10);
  EXPECT_DOUBLE_EQ(summary.mean_noise_percent, 2);
  EXPECT_DOUBLE_EQ(summary.largest_noise_percent, 3);
  EXPECT_NEAR(summary.latest_above_percent, 10, 1e-9);
  EXPECT_THAT(to_table(report), HasSubstr("a loop without Millrace"));
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json.at("trainings").size(), 3);
  EXPECT_EQ(json.at("trainings")[1].at("note"), "not possible, see above");
  EXPECT_EQ(json.at("trainings")[2].at("kept"), true);
  EXPECT_EQ(json.at("trainings")[2].at("noise_percent"), 1);
}

}  // namespace
}  // namespace millrace::cli
