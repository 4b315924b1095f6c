#include "framework/base/file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <vector>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string pattern = (fs::temp_directory_path() / "millrace-file.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~FileTest() override { fs::remove_all(folder_); }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      result.push_back(entry.path().filename().string());
    }
    return result;
  }

  fs::path folder_;
};

TEST_F(FileTest, WritesAndReadsBack) {
  const std::string content("a\0b\n", 4);
  write_file_atomically(folder_ / "x", content, "test");
  EXPECT_EQ(read_file(folder_ / "x", "test"), content);
  EXPECT_THAT(names(), testing::ElementsAre("x"));
}

TEST_F(FileTest, WithoutCommitTheOldFileStays) {
  write_file_atomically(folder_ / "x", "old", "test");
  {
    AtomicFile file(folder_ / "x", "test");
    file.write("new", 3);
  }
  EXPECT_EQ(read_file(folder_ / "x", "test"), "old");
  EXPECT_THAT(names(), testing::ElementsAre("x"));
}

TEST_F(FileTest, ALinkStaysAndItsTargetIsWritten) {
  write_file_atomically(folder_ / "x", "old", "test");
  fs::create_symlink("x", folder_ / "link");
  write_file_atomically(folder_ / "link", "new", "test");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(read_file(folder_ / "x", "test"), "new");
}

TEST_F(FileTest, ADeviceIsWrittenToAndStays) {
  const fs::path link = folder_ / "null";  // were it replaced, it would be the link
  fs::create_symlink("/dev/null", link);
  write_file_atomically(link, "content", "test");
  EXPECT_TRUE(fs::is_character_file(link));
  EXPECT_THROW(AtomicFile(link, "test"), ConfigError);
}

TEST_F(FileTest, MissingFileAndFolderAreTheUsersFault) {
  EXPECT_THROW(read_file(folder_ / "absent", "test"), ConfigError);
  EXPECT_THROW(read_file(folder_, "test"), ConfigError);
}

TEST_F(FileTest, NoFolderToWriteToIsNamed) {
  try {
    write_file_atomically(folder_ / "absent" / "x", "content", "test");
    FAIL();
  } catch (const ResourceError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("create its folder first"));
  }
}

TEST_F(FileTest, WriteThatFailsLeavesTheOldFileAlone) {
  write_file_atomically(folder_ / "x", "old", "test");
  // A limit on the file size makes write() fail as a full disk does, root or not.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1024, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(write_file_atomically(folder_ / "x", std::string(1 << 16, 'n'), "test"),
               ResourceError);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(folder_ / "x", "test"), "old");
  EXPECT_THAT(names(), testing::ElementsAre("x"));
}

}  // namespace
}  // namespace millrace
