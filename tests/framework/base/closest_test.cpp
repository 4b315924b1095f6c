#include "framework/base/closest.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Closest, FindsTypingErrors) {
  const std::vector<std::string> verbs = {"profile", "plan", "train"};
  EXPECT_EQ(closest("profil", verbs), "profile");
  EXPECT_EQ(closest("trian", verbs), "train");
  EXPECT_EQ(closest("paln", verbs), "plan");
  EXPECT_EQ(closest("plan", verbs), "plan");
}

TEST(Closest, SaysNothingOfWhatIsFar) {
  EXPECT_EQ(closest("xyzzy", {"profile", "plan"}), "");
  EXPECT_EQ(closest("", {"profile"}), "");
  EXPECT_EQ(suggestion("xyzzy", {"profile", "plan"}), ": one of profile, plan");
  EXPECT_EQ(suggestion("plam", {"profile", "plan"}), ": did you mean 'plan'?");
}

}  // namespace
}  // namespace millrace
