#include "controller/checkpoint.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

CheckpointInfo info_at(std::int64_t step, std::optional<double> accuracy = {}) {
  CheckpointInfo info;
  info.facts = {
      "fake", 18446744073709551615u, {"cat", "dög \"x\""}, {0.1, 0.25}, {1, 2}, "{\"lr\": 1}", 500};
  info.step = step;
  info.trained_ns = 123456789012345;
  info.accuracy = accuracy;
  return info;
}

template <typename Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

class CheckpointTest : public ScratchFolder {
 protected:
  fs::path file_ = scratch_ / "x.safetensors";
  CheckpointFolder folder_{scratch_ / "checkpoints", 2};
  FakeSession session_;
};

TEST_F(CheckpointTest, HoldsWeightsOptimizerAndFacts) {
  session_.train_next();
  CheckpointInfo info = info_at(1, 0.625);
  info.evaluation_loss = 1.0 / 3;
  write_checkpoint(file_, info, session_.state());
  const Checkpoint read = open_checkpoint(file_);
  EXPECT_EQ(read.info, info);
  FakeSession other;
  restore_checkpoint(read, info.facts, other.state());
  EXPECT_EQ(other.weights(), session_.weights());
  EXPECT_EQ(other.momentum(), session_.momentum());
}

TEST_F(CheckpointTest, TheSameStateGivesTheSameBytes) {
  write_checkpoint(file_, info_at(1), session_.state());
  const std::string first = read_file(file_, "test");
  auto state = session_.state();
  std::swap(state[0], state[1]);
  write_checkpoint(file_, info_at(1), state);
  EXPECT_EQ(read_file(file_, "test"), first);
}

TEST_F(CheckpointTest, EveryDamagedByteIsFound) {
  write_checkpoint(file_, info_at(1, 0.5), session_.state());
  const std::string whole = read_file(file_, "test");
  std::fstream damage(file_, std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](std::size_t place, char byte) {
    damage.seekp(static_cast<std::streamoff>(place)).put(byte).flush();
  };
  for (std::size_t place = 0; place < whole.size(); place += place < 1200 ? 1 : 37) {
    put(place, static_cast<char>(whole[place] ^ 4));
    EXPECT_NE(error_of([&] { open_checkpoint(file_); }), "") << place;
    put(place, whole[place]);
  }
  EXPECT_EQ(error_of([&] { open_checkpoint(file_); }), "");
}

TEST_F(CheckpointTest, CutShortAnywhereIsRefused) {
  write_checkpoint(file_, info_at(1), session_.state());
  for (std::size_t length = fs::file_size(file_); length > 0;) {
    fs::resize_file(file_, --length);
    EXPECT_NE(error_of([&] { open_checkpoint(file_); }), "") << length;
  }
}

TEST_F(CheckpointTest, WeightsAloneAreNoCheckpoint) {
  write_safetensors(file_, {session_.state()[0].view}, {{"format", "pt"}});
  EXPECT_THAT(error_of([&] { open_checkpoint(file_); }), HasSubstr("--weights"));
}

TEST_F(CheckpointTest, AnotherTrainingIsRefusedWithNothingWritten) {
  session_.train_next();
  write_checkpoint(file_, info_at(1), session_.state());
  const Checkpoint read = open_checkpoint(file_);
  FakeSession other;
  const auto before = other.weights();
  const auto refused = [&](const std::string& model, std::vector<SessionTensor> state) {
    TrainingFacts facts = read.info.facts;
    facts.model = model;
    const std::string message = error_of([&] { restore_checkpoint(read, facts, state); });
    EXPECT_EQ(other.weights(), before);
    return message;
  };
  EXPECT_THAT(refused("alexnet", other.state()),
              HasSubstr("is of fake, this training is of alexnet"));
  auto state = other.state();
  state[1].view.shape = {500, 1};
  EXPECT_THAT(refused("fake", state), HasSubstr("F32 [250, 2] in the checkpoint, F32 [500, 1]"));
  state = other.state();
  state[1].view.name = "optimizer.adam";
  EXPECT_THAT(refused("fake", state), HasSubstr("has no optimizer.adam"));
  state = other.state();
  state.pop_back();
  EXPECT_THAT(refused("fake", state), HasSubstr("holds 2 tensors, this training has 1"));
  TrainingFacts renamed = read.info.facts;
  renamed.classes = {"night", "day"};
  EXPECT_THAT(error_of([&] { restore_checkpoint(read, renamed, other.state()); }),
              HasSubstr("the data set has night, day"));
  EXPECT_EQ(other.weights(), before);
}

TEST_F(CheckpointTest, DataThatHaveChangedAreWarnedOf) {
  write_checkpoint(file_, info_at(1), session_.state());
  const auto said_of = [&](const TrainingFacts& now) {
    testing::internal::CaptureStderr();
    restore_checkpoint(open_checkpoint(file_), now, session_.state());
    return testing::internal::GetCapturedStderr();
  };
  TrainingFacts now = info_at(1).facts;
  EXPECT_EQ(said_of(now), "");
  now.samples = 480;
  EXPECT_THAT(said_of(now), HasSubstr("500 samples to train on"));
  EXPECT_THAT(said_of(now), HasSubstr("it has 480 now"));
  now = info_at(1).facts;
  now.mean[1] = 0.5;
  EXPECT_THAT(said_of(now),
              HasSubstr("mean 0.1, 0.25, deviation 1, 2 then; 0.1, 0.5 and 1, 2 now"));
}

TEST_F(CheckpointTest, KeepsTheNewestAndTheBest) {
  folder_.prepare();
  const std::vector<double> accuracies = {0.2, 0.9, 0.3, 0.4, 0.5};
  for (std::size_t i = 0; i < accuracies.size(); ++i) {
    folder_.save(info_at(static_cast<std::int64_t>(i + 1), accuracies[i]), session_.state());
  }
  EXPECT_THAT(folder_.steps(), ElementsAre(2, 4, 5));
  EXPECT_EQ(folder_.open("last").info.step, 5);
  EXPECT_EQ(folder_.open("best").info.step, 2);
  EXPECT_EQ(folder_.open("4").info.step, 4);
  EXPECT_EQ(folder_.path_of(4).filename(), "step-000004.safetensors");
}

TEST_F(CheckpointTest, OfEqualsTheLaterIsTheBestAndWithoutAnyTheNewest) {
  folder_.prepare();
  folder_.save(info_at(3), session_.state());
  folder_.save(info_at(1000000), session_.state());
  EXPECT_EQ(folder_.open("best").info.step, 1000000);
  folder_.save(info_at(1000001, 0.5), session_.state());
  folder_.save(info_at(1000002, 0.5), session_.state());
  folder_.save(info_at(1000003, 0.1), session_.state());
  EXPECT_EQ(folder_.open("best").info.step, 1000002);
}

TEST_F(CheckpointTest, DamagedOnesArePassedOver) {
  folder_.prepare();
  folder_.save(info_at(1, 0.1), session_.state());
  folder_.save(info_at(2, 0.2), session_.state());
  fs::resize_file(folder_.path_of(2), fs::file_size(folder_.path_of(2)) / 2);
  EXPECT_EQ(folder_.open("last").info.step, 1);
  EXPECT_EQ(folder_.open("best").info.step, 1);
  EXPECT_NE(error_of([&] { folder_.open("2"); }), "");
  fs::resize_file(folder_.path_of(1), 3);
  EXPECT_FALSE(folder_.open_last().has_value());
}

TEST_F(CheckpointTest, DamagedOnesDoNotPushOutGoodOnes) {
  const CheckpointFolder one(scratch_ / "checkpoints", 1);
  one.prepare();
  for (const std::int64_t step : {200, 400})
    write_checkpoint(one.path_of(step), info_at(step), session_.state());
  fs::resize_file(one.path_of(400), 100);
  one.save(info_at(100), session_.state());
  EXPECT_EQ(one.open("best").info.step, 200) << "a damaged file is not the best";
  one.set_aside_after(one.open_last()->info.step);
  one.save(info_at(300), session_.state());
  EXPECT_THAT(one.steps(), ElementsAre(300));
  EXPECT_EQ(one.open("last").info.step, 300);
  EXPECT_TRUE(fs::exists(one.path_of(400) += ".unread")) << "not lost";
}

TEST_F(CheckpointTest, WhatIsNotThereIsNamedWithWhatIs) {
  EXPECT_THAT(error_of([&] { folder_.open("last"); }), HasSubstr("there is none yet"));
  folder_.prepare();
  folder_.save(info_at(5), session_.state());
  folder_.save(info_at(7), session_.state());
  for (const char* which : {"6", "-5", "5x", "", "newest"}) {
    EXPECT_THAT(error_of([&] { folder_.open(which); }), HasSubstr("there are 5, 7")) << which;
  }
}

TEST_F(CheckpointTest, PrepareRemovesWhatDeadWritersLeft) {
  folder_.prepare();
  folder_.save(info_at(5), session_.state());
  write_file_atomically(scratch_ / "checkpoints" / "step-000006.safetensors.4242.tmp", "half",
                        "test");
  write_file_atomically(scratch_ / "checkpoints" / "notes.txt", "mine", "test");
  folder_.prepare();
  EXPECT_FALSE(fs::exists(scratch_ / "checkpoints" / "step-000006.safetensors.4242.tmp"));
  EXPECT_TRUE(fs::exists(scratch_ / "checkpoints" / "notes.txt"));
  EXPECT_THAT(folder_.steps(), ElementsAre(5));
}

TEST_F(CheckpointTest, AFullDiskLeavesTheLastGoodOne) {
  folder_.prepare();
  folder_.save(info_at(1), session_.state());
  const std::string before = read_file(folder_.path_of(1), "test");
  {
    const FullDisk full(1000);
    EXPECT_THROW(folder_.save(info_at(2), session_.state()), ResourceError);
    EXPECT_THROW(folder_.save(info_at(1), session_.state()), ResourceError);
  }
  EXPECT_THAT(folder_.steps(), ElementsAre(1));
  EXPECT_EQ(read_file(folder_.path_of(1), "test"), before);
}

TEST_F(CheckpointTest, AReadOnlyFolderIsAResourceError) {
  folder_.prepare();
  ::chmod(scratch_.c_str(), 0755);
  ::chmod((scratch_ / "checkpoints").c_str(), 0555);
  const auto try_to_save = [&] {
    give_up_root();
    try {
      folder_.save(info_at(1), session_.state());
    } catch (const ResourceError& error) {
      ::_exit(static_cast<int>(error.code()));
    }
  };
  EXPECT_EXIT(try_to_save(), testing::ExitedWithCode(4), "");
  ::chmod((scratch_ / "checkpoints").c_str(), 0755);
}

}  // namespace
}  // namespace millrace
