#include "controller/core_claims.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using ::testing::IsEmpty;

using CoreClaimsTest = ScratchFolder;

TEST_F(CoreClaimsTest, ACoreHasOneHolder) {
  CoreClaims first("/runs/a", scratch_), second("/runs/b", scratch_);
  EXPECT_THAT(first.take({0, 1}), IsEmpty());
  const auto holders = second.take({1, 2});
  ASSERT_EQ(holders.size(), 1u);
  EXPECT_EQ(holders.at(1), (CoreHolder{::getpid(), "/runs/a"}));
  EXPECT_EQ(first.take({2}).at(2).run, "/runs/b") << "it got what was free";
}

TEST_F(CoreClaimsTest, ItsEndFreesThem) {
  {
    CoreClaims first("/runs/a", scratch_);
    first.take({0});
  }
  EXPECT_THAT(CoreClaims("/runs/b", scratch_).take({0}), IsEmpty());
}

TEST_F(CoreClaimsTest, WhatIsNotKeptIsFree) {
  CoreClaims first("/runs/a", scratch_), second("/runs/b", scratch_);
  first.take({0, 1, 2});
  first.keep({1});
  const auto holders = second.take({0, 1, 2});
  EXPECT_EQ(holders.size(), 1u);
  EXPECT_TRUE(holders.contains(1));
}

TEST_F(CoreClaimsTest, SoDoesTheDeathOfItsProcess) {
  const pid_t child = fork();
  if (child == 0) {
    CoreClaims claims("/runs/killed", scratch_);
    claims.take({0});
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(CoreClaims("/runs/b", scratch_).take({0}), IsEmpty());
}

TEST_F(CoreClaimsTest, AFolderThatIsNotThereKeepsNobodyBack) {
  CoreClaims first("/runs/a", scratch_ / "none"), second("/runs/b", scratch_ / "none");
  EXPECT_THAT(first.take({0}), IsEmpty());
  EXPECT_THAT(second.take({0}), IsEmpty());
}

TEST_F(CoreClaimsTest, ALinkIsNotFollowed) {
  const std::filesystem::path precious = scratch_ / "precious";
  std::ofstream(precious) << "kept";
  std::filesystem::create_symlink(precious, scratch_ / "millrace-cpu0.lock");
  std::filesystem::create_hard_link(precious, scratch_ / "millrace-cpu1.lock");
  CoreClaims claims("/runs/a", scratch_);
  EXPECT_THAT(claims.take({0, 1}), IsEmpty());
  EXPECT_EQ(std::filesystem::file_size(precious), 4u);
}

TEST(DescribeHolders, JoinsTheCpusOfOneTraining) {
  EXPECT_EQ(describe({{0, {7, "/a"}}, {1, {7, "/a"}}, {3, {9, "/b"}}}),
            "CPUs 0-1 by the training in /a (process 7), CPU 3 by the training in /b (process 9)");
}

}  // namespace
}  // namespace millrace
