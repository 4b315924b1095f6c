#include "controller/run_checkpoints.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "millrace/errors.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RunCheckpointsTest : public ScratchFolder {
 protected:
  RunCheckpointsTest() { folder_.prepare(); }

  static CheckpointInfo info_at(std::int64_t step, std::optional<double> accuracy = {}) {
    CheckpointInfo info;
    info.step = step;
    info.accuracy = accuracy;
    return info;
  }
  std::vector<SessionTensor> state() {
    return {{{"w", "F32", {4}, values_.data(), 16}, values_.data()}};
  }

  static std::vector<std::int64_t> completed(RunCheckpoints& checkpoints) {
    std::vector<std::int64_t> steps;
    for (const auto& [step, wall_ns] : checkpoints.take_completed()) steps.push_back(step);
    return steps;
  }
  /// Each look at it takes 10 ns.
  std::function<std::int64_t()> clock() {
    return [this] { return now_ns_ += 10; };
  }

  std::atomic<std::int64_t> now_ns_{0};
  std::vector<float> values_ = {1, 2, 3, 4};
  const CheckpointFolder folder_{scratch_ / "checkpoints", 2};
};

TEST_F(RunCheckpointsTest, AreWholeOnceFinished) {
  RunCheckpoints checkpoints(folder_, clock());
  checkpoints.save(info_at(3), state());
  checkpoints.wait_copied();
  values_.assign(4, 9);  // the next step does not wait for the disk
  checkpoints.finish();
  EXPECT_THAT(completed(checkpoints), ElementsAre(3));
  EXPECT_THAT(completed(checkpoints), IsEmpty()) << "said once";
  const Checkpoint saved = folder_.open("3");
  std::vector<float> kept(4);
  saved.file.read(*saved.file.find("w"), kept.data());
  EXPECT_THAT(kept, ElementsAre(1, 2, 3, 4));
}

TEST_F(RunCheckpointsTest, AStateThatIsBeingCopiedIsWaitedFor) {
  constexpr std::size_t kValues = 4 << 20;
  std::vector<float> many(kValues, 1);
  RunCheckpoints checkpoints(folder_, clock());
  for (const float value : {1.0f, 2.0f, 3.0f}) {
    checkpoints.save(info_at(static_cast<std::int64_t>(value)),
                     {{{"w", "F32", {kValues}, many.data(), 4 * kValues}, many.data()}});
    checkpoints.wait_copied();
    std::fill(many.begin(), many.end(), value + 1);
  }
  checkpoints.finish();
  const Checkpoint saved = folder_.open("3");
  std::vector<float> kept(kValues);
  saved.file.read(*saved.file.find("w"), kept.data());
  EXPECT_EQ(std::count(kept.begin(), kept.end(), 3.0f), std::ssize(kept));
}

TEST_F(RunCheckpointsTest, AreSavedInTurnAndOldOnesGo) {
  RunCheckpoints checkpoints(folder_, clock());
  for (const std::int64_t step : {1, 2, 3, 4}) checkpoints.save(info_at(step), state());
  checkpoints.finish();
  EXPECT_THAT(completed(checkpoints), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(folder_.steps(), ElementsAre(3, 4));
}

TEST_F(RunCheckpointsTest, TellHowLongTheDiskTook) {
  RunCheckpoints checkpoints(folder_, clock());
  checkpoints.save(info_at(3), state());
  checkpoints.finish();
  EXPECT_EQ(checkpoints.take_completed().at(0).wall_ns, 10);
}

TEST_F(RunCheckpointsTest, KnowWhatTheNewestHolds) {
  RunCheckpoints checkpoints(folder_, clock());
  EXPECT_FALSE(checkpoints.holds(0, false));
  checkpoints.save(info_at(7), state());
  EXPECT_TRUE(checkpoints.holds(7, false));
  checkpoints.save(info_at(7, 0.5), state());
  EXPECT_TRUE(checkpoints.holds(7, true));
  EXPECT_FALSE(checkpoints.holds(7, false));
}

TEST_F(RunCheckpointsTest, AreCompleteAtTheEndOfTheirOwner) {
  { RunCheckpoints(folder_, clock()).save(info_at(5), state()); }
  EXPECT_THAT(folder_.steps(), ElementsAre(5));
}

/// A file that cannot get its name: what stands there is a folder that is not empty.
TEST_F(RunCheckpointsTest, AFailureOfTheDiskComesWithTheNextOne) {
  std::filesystem::create_directories(folder_.path_of(1) / "in the way");
  RunCheckpoints checkpoints(folder_, clock());
  checkpoints.save(info_at(1), state());
  EXPECT_THROW(checkpoints.save(info_at(2), state()), ResourceError);
  EXPECT_THAT(folder_.steps(), ElementsAre(1)) << "what was there";
}

}  // namespace
}  // namespace millrace
