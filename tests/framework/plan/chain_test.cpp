#include "framework/plan/chain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "framework/plan/device_states.hpp"
#include "millrace/errors.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const Profile& profile) {
  try {
    make_chain(profile);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Chain, FollowsTheTensorsNotTheFile) {
  Profile profile = fixtures::plain_chain({1, 2, 3, 4}, 1);
  std::swap(profile.layers[0], profile.layers[3]);
  std::swap(profile.tensors[0], profile.tensors[2]);
  EXPECT_THAT(make_chain(profile).layers, ElementsAre(3, 1, 2, 0));
}

TEST(Chain, OneLayerNeedsNoTensor) {
  const Chain chain = make_chain(fixtures::plain_chain({5}, 1));
  EXPECT_THAT(chain.layers, ElementsAre(0));
  EXPECT_EQ(chain.borders, (std::vector<Border>(2)));
}

TEST(Chain, AddsUpTheTensorsOfABorder) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1"}, 10}, {"l0", {"l1"}, 5}, {"l1", {"l2"}, 7}};
  const Chain chain = make_chain(profile);
  EXPECT_EQ(chain.borders[1], (Border{15, 2, 15, 2}));  // gradients as large as the tensors
  EXPECT_EQ(chain.borders[2], (Border{7, 1, 7, 1}));
  EXPECT_EQ(chain.borders[0], Border{});
  EXPECT_EQ(chain.borders[3], Border{});
}

TEST(Chain, AnExplicitGradientReplacesTheDefault) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1"}, 10},
                     {"l1", {"l2"}, 7},
                     {"l1", {"l0"}, 0, true},
                     {"l2", {"l1"}, 3, true},
                     {"l2", {"l1"}, 4, true}};
  const Chain chain = make_chain(profile);
  EXPECT_EQ(chain.borders[1], (Border{10, 1, 0, 1}));
  EXPECT_EQ(chain.borders[2], (Border{7, 1, 7, 2}));
}

TEST(Chain, ATensorNamedTwiceByItsReaderIsSentOnce) {
  Profile profile = fixtures::plain_chain({1, 1}, 1);
  profile.tensors = {{"l0", {"l1", "l1"}, 10}};
  EXPECT_EQ(make_chain(profile).borders[1], (Border{10, 1, 10, 1}));
}

TEST(Chain, InferenceHasNoGradients) {
  Profile profile = fixtures::plain_chain({1, 1}, 1);
  profile.training = false;
  for (auto& layer : profile.layers) layer.backward_ns.clear();
  profile.tensors = {{"l0", {"l1"}, 10}, {"l1", {"l0"}, 4, true}};
  EXPECT_EQ(make_chain(profile).borders[1], (Border{10, 1, 0, 0}));
}

/// l0 -> l1 -> l2 -> l3, with l0 read by l2, too, and l1 by l3.
Profile two_skips() {
  Profile profile = fixtures::plain_chain({1, 1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1", "l2"}, 10}, {"l1", {"l2", "l3"}, 5}, {"l2", {"l3"}, 1}};
  return profile;
}

TEST(Chain, ATensorWithSeveralReadersCrossesABorderOnce) {
  const Chain chain = make_chain(two_skips());
  EXPECT_THAT(chain.layers, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(chain.borders[1], (Border{10, 1, 10, 1}));
  EXPECT_EQ(chain.borders[2], (Border{15, 2, 15, 2}));
  EXPECT_EQ(chain.borders[3], (Border{6, 2, 6, 2}));
}

TEST(Chain, AGradientGivenForOneReaderLeavesTheOthers) {
  Profile profile = two_skips();
  profile.tensors.push_back({"l2", {"l0"}, 3, true});
  const Chain chain = make_chain(profile);
  EXPECT_EQ(chain.borders[1], (Border{10, 1, 13, 2}));  // of l1 as large as the tensor, of l2 given
  EXPECT_EQ(chain.borders[2], (Border{15, 2, 8, 2}));
}

TEST(Chain, KeepsTheOrderOfTheFileWhereTheTensorsAllowIt) {
  Profile profile = fixtures::plain_chain({1, 1, 1, 1, 1}, 1);  // two branches that meet in l4
  profile.tensors = {
      {"l0", {"l1", "l3"}, 1}, {"l1", {"l2"}, 1}, {"l2", {"l4"}, 1}, {"l3", {"l4"}, 1}};
  EXPECT_THAT(make_chain(profile).layers, ElementsAre(0, 1, 2, 3, 4));
  std::swap(profile.layers[1], profile.layers[4]);
  EXPECT_THAT(make_chain(profile).layers, ElementsAre(0, 3, 4, 2, 1));
}

TEST(Chain, SeveralLayersMayReadTheSample) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l2"}, 4}, {"l1", {"l2"}, 4}};
  const Chain chain = make_chain(profile);
  EXPECT_EQ(chain.borders[1], (Border{4, 1, 4, 1}));
  EXPECT_EQ(chain.borders[2], (Border{8, 2, 8, 2}));
}

TEST(Chain, RefusesWhatNoStepCanRun) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1"}, 1}, {"l1", {"l2"}, 1}, {"l2", {"l0"}, 1, true}};
  EXPECT_THAT(error_of(profile), HasSubstr("gradient from \"l2\" to \"l0\" follows no forward"));
  profile.tensors = {{"l0", {"l1"}, 1}, {"l1", {"l0"}, 1}};
  EXPECT_THAT(error_of(profile), HasSubstr("cycle"));
}

TEST(DeviceStates, CountEverySet) {
  const DeviceStates states({4, 4, 1});
  EXPECT_EQ(states.size(), 50);
  EXPECT_EQ(states.devices(states.all()), 9);
  EXPECT_EQ(states.single_kind(states.all()), -1);
  const int pair = states.state_of(1, 2);
  EXPECT_EQ(states.count(pair, 1), 2);
  EXPECT_EQ(states.devices(pair), 2);
  EXPECT_EQ(states.single_kind(pair), 1);
}

TEST(DeviceStates, TakingAPartAwayIsSubtraction) {
  const DeviceStates states({3, 2});
  for (int whole = 0; whole < states.size(); ++whole) {
    for (int part = 0; part < states.size(); ++part) {
      const bool inside = states.count(part, 0) <= states.count(whole, 0) &&
                          states.count(part, 1) <= states.count(whole, 1);
      ASSERT_EQ(states.contains(whole, part), inside);
      if (!inside) continue;
      for (int kind = 0; kind < 2; ++kind) {
        EXPECT_EQ(states.count(whole - part, kind),
                  states.count(whole, kind) - states.count(part, kind));
      }
    }
  }
}

TEST(DeviceStates, RefuseTooMany) {
  EXPECT_THROW(DeviceStates({1000, 1000}), ConfigError);
  EXPECT_EQ(DeviceStates({300, 300}).size(), 301 * 301);
}

}  // namespace
}  // namespace millrace
