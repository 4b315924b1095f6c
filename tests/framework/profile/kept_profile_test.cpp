#include "framework/profile/kept_profile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/profiler.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;

class KeptProfileTest : public ::testing::Test {
 protected:
  KeptProfileTest() {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("kept-" + std::to_string(::getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
  }
  ~KeptProfileTest() override { std::filesystem::remove_all(folder_); }

  static KeptProfile sample() {
    Profile profile;
    profile.model = "tiny";
    profile.samples = {1, 4};
    profile.kinds = {{"big", 1}, {"little", 1}};
    LayerCosts layer;
    layer.name = "fc";
    layer.type = "linear";
    layer.forward_ns = {{"big", {10, 30}}, {"little", {20.5, 61}}};
    layer.backward_ns = {{"big", {20, 60}}, {"little", {40, 120}}};
    layer.update_ns = {{"big", 5}, {"little", 9}};
    layer.weights_bytes = 400;
    profile.layers = {layer};
    return {"machine A, model tiny",
            {{"big", {1}, 1, "x"}, {"little", {0}, 0.5, ""}},
            {{0, 51.25}, {1, 100.5}},
            profile,
            4};
  }
  void write(const std::string& text) const {
    std::filesystem::create_directories(folder_);
    std::ofstream(kept_profile_path(folder_, sample().identity)) << text;
  }

  std::filesystem::path folder_;
};

TEST_F(KeptProfileTest, RoundTrips) {
  EXPECT_EQ(kept_profile_from_json(to_json(sample()), "here"), sample());
}

TEST_F(KeptProfileTest, IsFoundByItsIdentityOnly) {
  const std::string file = keep_profile(folder_, sample());
  EXPECT_EQ(file, kept_profile_path(folder_, sample().identity).string());
  EXPECT_EQ(find_kept_profile(folder_, sample().identity), sample());
  EXPECT_EQ(find_kept_profile(folder_, "machine B, model tiny"), std::nullopt);
}

TEST_F(KeptProfileTest, ReplacesAnOlderOne) {
  keep_profile(folder_, sample());
  KeptProfile newer = sample();
  newer.rates[0] = 60;
  keep_profile(folder_, newer);
  EXPECT_EQ(find_kept_profile(folder_, sample().identity), newer);
}

TEST_F(KeptProfileTest, ACorruptFileIsWarnedAboutAndCountsAsNone) {
  for (const std::string text : {"", "{", "[]", "{\"format\": \"millrace-kept-profile\"}"}) {
    write(text);
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(find_kept_profile(folder_, sample().identity), std::nullopt) << text;
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("measuring anew")) << text;
  }
}

TEST_F(KeptProfileTest, ATruncatedFileCountsAsNone) {
  const std::string whole = to_json(sample());
  write(whole.substr(0, whole.size() / 2));
  EXPECT_EQ(find_kept_profile(folder_, sample().identity), std::nullopt);
}

TEST_F(KeptProfileTest, AFileWithAnotherIdentityInsideCountsAsNone) {
  KeptProfile other = sample();
  other.identity = "machine B";
  write(to_json(other));
  EXPECT_EQ(find_kept_profile(folder_, sample().identity), std::nullopt);
}

TEST_F(KeptProfileTest, UnusableCostsInsideNameTheFile) {
  std::string text = to_json(sample());
  text.replace(text.find("\"fc\""), 4, "12345");
  try {
    kept_profile_from_json(text, "FILE");
    FAIL() << "a layer whose name is a number was read";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("FILE"));
  }
}

TEST_F(KeptProfileTest, AFolderThatCannotBeMadeIsAWarningOnly) {
  std::filesystem::create_directories(folder_);
  std::ofstream(folder_ / "file") << "no folder";
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(keep_profile(folder_ / "file" / "profiles", sample()), "");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("not kept"));
}

class CacheFolderTest : public ::testing::Test {
 protected:
  CacheFolderTest() {
    for (const char* name : kNames) {
      const char* value = std::getenv(name);
      before_.emplace_back(value == nullptr ? std::nullopt : std::optional<std::string>(value));
      ::unsetenv(name);
    }
  }
  ~CacheFolderTest() override {
    for (std::size_t i = 0; i < before_.size(); ++i) {
      ::unsetenv(kNames[i]);
      if (before_[i]) ::setenv(kNames[i], before_[i]->c_str(), 1);
    }
  }

  static constexpr const char* kNames[] = {"MILLRACE_CACHE", "XDG_CACHE_HOME", "HOME"};
  std::vector<std::optional<std::string>> before_;
};

TEST_F(CacheFolderTest, FollowsTheEnvironment) {
  ::setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(default_cache_folder(), "/home/someone/.cache/millrace");
  ::setenv("XDG_CACHE_HOME", "/caches", 1);
  EXPECT_EQ(default_cache_folder(), "/caches/millrace");
  ::setenv("MILLRACE_CACHE", "/own", 1);
  EXPECT_EQ(default_cache_folder(), "/own");
}

TEST_F(CacheFolderTest, EmptyVariablesDoNotCount) {
  ::setenv("HOME", "/home/someone", 1);
  ::setenv("MILLRACE_CACHE", "", 1);
  EXPECT_EQ(default_cache_folder(), "/home/someone/.cache/millrace");
}

}  // namespace
}  // namespace millrace
