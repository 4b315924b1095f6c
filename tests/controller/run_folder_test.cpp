#include "controller/run_folder.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class RunFolderTest : public ScratchFolder {
 protected:
  std::string error_of_create(bool force) const {
    try {
      RunFolder::create(out_, force);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }
  void put(const std::string& name) const {
    fs::create_directories((out_ / name).parent_path());
    std::ofstream(out_ / name) << "old";
  }

  fs::path out_ = scratch_ / "a" / "run";
};

TEST_F(RunFolderTest, IsMadeAndFilledWhenTheRunBegins) {
  const RunFolder folder = RunFolder::create(out_, false);
  EXPECT_TRUE(fs::is_empty(out_)) << "nothing is written before the run begins";
  EXPECT_GT(folder.write_ns_per_byte(), 0);
  folder.begin("seed = 1\n", "{}", "[]");
  EXPECT_EQ(read_file(folder.config(), "test"), "seed = 1\n");
  EXPECT_EQ(read_file(folder.plan(), "test"), "{}");
}

TEST_F(RunFolderTest, SaysWhetherItIsTaken) {
  EXPECT_THROW(RunFolder::is_taken(out_), ConfigError);
  {
    const RunFolder folder = RunFolder::create(out_, false);
    EXPECT_TRUE(RunFolder::is_taken(out_));
  }
  EXPECT_FALSE(RunFolder::is_taken(out_));
  EXPECT_NO_THROW(RunFolder::create(out_, false)) << "asking holds nothing";
}

TEST_F(RunFolderTest, AnEmptyFolderIsTakenAFullOneOnlyByForce) {
  fs::create_directories(out_);
  EXPECT_EQ(error_of_create(false), "");
  put("notes.txt");
  EXPECT_THAT(error_of_create(false), HasSubstr("--force"));
  EXPECT_EQ(error_of_create(true), "");
}

TEST_F(RunFolderTest, ForceRemovesAnEarlierRunAndNothingElse) {
  for (const char* name : {"config.toml", "plan.json", "metrics.jsonl", "trace.json", "notes.txt",
                           "checkpoints/step-000001.safetensors"}) {
    put(name);
  }
  const RunFolder folder = RunFolder::create(out_, true);
  EXPECT_EQ(read_file(folder.config(), "test"), "old") << "until the new run begins";
  folder.begin("new", "{}", "[]");
  EXPECT_EQ(read_file(folder.config(), "test"), "new");
  EXPECT_FALSE(fs::exists(folder.metrics()));
  EXPECT_FALSE(fs::exists(folder.trace()));
  EXPECT_FALSE(fs::exists(folder.checkpoints()));
  EXPECT_TRUE(fs::exists(out_ / "notes.txt"));
}

TEST_F(RunFolderTest, OnlyOneTrainingUsesIt) {
  {
    RunFolder first = RunFolder::create(out_, false);
    EXPECT_THAT(error_of_create(true), HasSubstr("in use by a training that runs"));
    const RunFolder moved = std::move(first);
    EXPECT_THAT(error_of_create(true), HasSubstr("in use"));
  }
  EXPECT_EQ(error_of_create(true), "");
}

TEST_F(RunFolderTest, OpensWhatARunLeft) {
  EXPECT_THROW(RunFolder::open(out_), ConfigError);
  RunFolder::create(out_, false).begin("a", "b", "c");
  EXPECT_EQ(RunFolder::open(out_).path(), out_);
}

TEST_F(RunFolderTest, AFileInItsPlaceIsTheUsersFault) {
  fs::create_directories(out_.parent_path());
  std::ofstream(out_) << "file";
  EXPECT_THAT(error_of_create(true), HasSubstr("is a file"));
}

TEST_F(RunFolderTest, TooLittleSpaceIsNamedBeforeTraining) {
  const RunFolder folder = RunFolder::create(out_, false);
  EXPECT_NO_THROW(folder.require_free(1));
  EXPECT_THROW(folder.require_free(INT64_MAX), ResourceError);
}

TEST_F(RunFolderTest, AFolderThatCannotBeWrittenIsAResourceError) {
  fs::create_directories(out_);
  for (const auto& folder : {scratch_, scratch_ / "a"}) ::chmod(folder.c_str(), 0755);
  ::chmod(out_.c_str(), 0555);
  const auto exit_code_of = [&](const fs::path& path) {
    give_up_root();
    try {
      RunFolder::create(path, false);
    } catch (const ResourceError& error) {
      ::_exit(static_cast<int>(error.code()));
    }
  };
  EXPECT_EXIT(exit_code_of(out_), testing::ExitedWithCode(4), "");
  EXPECT_EXIT(exit_code_of(out_ / "deeper"), testing::ExitedWithCode(4), "");
  ::chmod(out_.c_str(), 0755);
}

TEST_F(RunFolderTest, AFullDiskIsAResourceError) {
  const FullDisk full(1 << 16);
  EXPECT_THROW(RunFolder::create(out_, false), ResourceError);
  EXPECT_TRUE(fs::is_empty(out_));
}

}  // namespace
}  // namespace millrace
