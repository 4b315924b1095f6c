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

  std::vector<float> values_ = {1, 2, 3, 4};
  const CheckpointFolder folder_{scratch_ / "checkpoints", 2};
};

TEST_F(RunCheckpointsTest, AreWholeOnceFinished) {
  RunCheckpoints checkpoints(folder_);
  checkpoints.save(info_at(3), state());
  values_.assign(4, 9);  // the next step does not wait for the disk
  checkpoints.finish();
  EXPECT_THAT(checkpoints.take_completed(), ElementsAre(3));
  EXPECT_THAT(checkpoints.take_completed(), IsEmpty()) << "said once";
  const Checkpoint saved = folder_.open("3");
  std::vector<float> kept(4);
  saved.file.read(*saved.file.find("w"), kept.data());
  EXPECT_THAT(kept, ElementsAre(1, 2, 3, 4));
}

TEST_F(RunCheckpointsTest, AreSavedInTurnAndOldOnesGo) {
  RunCheckpoints checkpoints(folder_);
  for (const std::int64_t step : {1, 2, 3, 4}) checkpoints.save(info_at(step), state());
  checkpoints.finish();
  EXPECT_THAT(checkpoints.take_completed(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(folder_.steps(), ElementsAre(3, 4));
}

TEST_F(RunCheckpointsTest, KnowWhatTheNewestHolds) {
  RunCheckpoints checkpoints(folder_);
  EXPECT_FALSE(checkpoints.holds(0, false));
  checkpoints.resumed(info_at(7));
  EXPECT_TRUE(checkpoints.holds(7, false));
  checkpoints.save(info_at(7, 0.5), state());
  EXPECT_TRUE(checkpoints.holds(7, true));
  EXPECT_FALSE(checkpoints.holds(7, false));
}

TEST_F(RunCheckpointsTest, AreCompleteAtTheEndOfTheirOwner) {
  { RunCheckpoints(folder_).save(info_at(5), state()); }
  EXPECT_THAT(folder_.steps(), ElementsAre(5));
}

/// A file that cannot get its name: what stands there is a folder that is not empty.
TEST_F(RunCheckpointsTest, AFailureOfTheDiskComesWithTheNextOne) {
  std::filesystem::create_directories(folder_.path_of(1) / "in the way");
  RunCheckpoints checkpoints(folder_);
  checkpoints.save(info_at(1), state());
  EXPECT_THROW(checkpoints.save(info_at(2), state()), ResourceError);
  EXPECT_THAT(folder_.steps(), ElementsAre(1)) << "what was there";
}

}  // namespace
}  // namespace millrace
