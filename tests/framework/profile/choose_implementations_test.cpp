#include "framework/profile/choose_implementations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "millrace/profiler.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;

/// Layers with a time per sample and implementation, and a cost wherever neighbours use different
/// layouts.
struct FakeChain {
  std::vector<std::map<std::string, double>> layer_ns;
  double conversion_ns = 0;
  double budget_ns = 1e9;
  double pass_ns = 0;  ///< whatever the samples
  double short_pass_ns = 0;
  double now_ns = 0;
  int slow_after = 1000, count = 0;  ///< passes; the machine is slower from then on
  std::map<ChainChoice, std::vector<std::int64_t>> passes;  ///< sample counts
  std::vector<bool> shared =
      std::vector<bool>(10, false);  ///< by layer; nothing left where "fast" is next

  PassTimes pass(const ChainChoice& chain, std::int64_t samples) {
    passes[chain].push_back(samples);
    PassTimes times;
    for (std::size_t l = 0; l < chain.size(); ++l) {
      const bool converts = l > 0 && chain[l] != chain[l - 1];
      const bool done = shared[l] && l + 1 < chain.size() && chain[l + 1] == "fast";
      const double ns = done ? 0 : layer_ns[l].at(chain[l]) + (converts ? conversion_ns : 0);
      times.forward_ns.push_back(static_cast<double>(samples) * ns);
      times.backward_ns.push_back(l == 0 ? pass_ns : 0);
    }
    if (++count > slow_after) times.forward_ns = scaled(times.forward_ns, 1.5);
    now_ns += times.total_ns();
    return times;
  }
  static std::vector<double> scaled(std::vector<double> ns, double factor) {
    for (double& value : ns) value *= factor;
    return ns;
  }
  ChainChoice choose(const std::vector<std::vector<std::string>>& names) {
    return choose_implementations(
        names, shared, [this](const ChainChoice& chain, std::int64_t n) { return pass(chain, n); },
        {1, 4, 16}, {.budget_ns = budget_ns, .most_samples = 100, .short_pass_ns = short_pass_ns},
        [this] { return now_ns; });
  }
  /// Passes at the count that decided.
  std::ptrdiff_t deciding_passes(const ChainChoice& chain) const {
    return std::count(passes.at(chain).begin(), passes.at(chain).end(), passes.at(chain).back());
  }
};

const std::vector<std::vector<std::string>> kTwoLayers = {{"plain", "fast"}, {"plain", "fast"}};

TEST(ChooseImplementations, MeasuresNothingWhereThereIsNoChoice) {
  FakeChain chain;
  EXPECT_THAT(chain.choose({{"plain"}, {"plain"}}), ElementsAre("plain", "plain"));
  EXPECT_TRUE(chain.passes.empty());
}

TEST(ChooseImplementations, TakesTheFasterChain) {
  FakeChain chain{{{{"plain", 100}, {"fast", 60}}, {{"plain", 100}, {"fast", 70}}}};
  EXPECT_THAT(chain.choose(kTwoLayers), ElementsAre("fast", "fast"));
}

TEST(ChooseImplementations, MixesWhereEachLayerHasItsOwnBest) {
  FakeChain chain{{{{"plain", 100}, {"fast", 60}}, {{"plain", 50}, {"fast", 90}}}};
  EXPECT_THAT(chain.choose(kTwoLayers), ElementsAre("fast", "plain"));
}

TEST(ChooseImplementations, ComparesChainsOfOnePrecision) {
  FakeChain chain{{{{"libtorch", 100}, {"winograd", 60}, {"winograd-bf16", 200}},
                   {{"libtorch", 100}, {"millrace", 60}, {"millrace-bf16", 200}}}};
  EXPECT_THAT(chain.choose({{"libtorch", "winograd", "winograd-bf16"},
                            {"libtorch", "millrace", "millrace-bf16"}}),
              ElementsAre("winograd", "millrace"));
  EXPECT_TRUE(chain.passes.contains({"winograd-bf16", "millrace-bf16"}));
  EXPECT_FALSE(chain.passes.contains({"winograd", "millrace-bf16"}));
}

TEST(ChooseImplementations, DoesNotMixWhereConversionsEatTheGain) {
  FakeChain chain{{{{"plain", 100}, {"fast", 60}}, {{"plain", 70}, {"fast", 90}}}, 50};
  const ChainChoice chosen = chain.choose(kTwoLayers);
  EXPECT_THAT(chosen, ElementsAre("fast", "fast"));
  EXPECT_TRUE(chain.passes.contains({"fast", "plain"})) << "the mixture was measured";
}

TEST(ChooseImplementations, CountsWhatAnImplementationDoesForItsNeighbour) {
  FakeChain chain{{{{"plain", 60}}, {{"plain", 90}, {"fast", 110}}, {{"plain", 10}, {"fast", 90}}}};
  chain.shared[0] = true;
  EXPECT_THAT(chain.choose({{"plain"}, {"plain", "fast"}, {"plain", "fast"}}),
              ElementsAre("plain", "fast", "plain"));
}

TEST(ChooseImplementations, KeepsTheDefaultWhereTheGainIsBelowAPercent) {
  FakeChain chain{{{{"plain", 1000}, {"fast", 995}}, {{"plain", 1000}, {"fast", 995}}}};
  EXPECT_THAT(chain.choose(kTwoLayers), ElementsAre("plain", "plain"));
}

TEST(ChooseImplementations, GivesAClearLoserOnePassOnly) {
  FakeChain chain{{{{"plain", 100}, {"slow", 300}}, {{"plain", 100}, {"slow", 300}}}};
  EXPECT_THAT(chain.choose({{"plain", "slow"}, {"plain", "slow"}}), ElementsAre("plain", "plain"));
  EXPECT_EQ(chain.deciding_passes({"slow", "slow"}), 1);
  EXPECT_GT(chain.deciding_passes({"plain", "plain"}), 1);
}

TEST(ChooseImplementations, ShortPassesAreRepeatedAndNoneIsDropped) {
  FakeChain chain{{{{"plain", 100}, {"slow", 300}}, {{"plain", 100}, {"slow", 300}}}};
  chain.short_pass_ns = 1e6;
  chain.choose({{"plain", "slow"}, {"plain", "slow"}});
  EXPECT_GT(chain.deciding_passes({"slow", "slow"}), 5);
}

TEST(ChooseImplementations, AllowsWhatIsAskedFor) {
  for (const char* name : {"libtorch", "direct", "millrace", "millrace-bf16"})
    EXPECT_TRUE(is_allowed(name, Algorithms::direct)) << name;
  for (const char* name : {"winograd", "winograd-bf16"}) {
    EXPECT_FALSE(is_allowed(name, Algorithms::direct)) << name;
    EXPECT_TRUE(is_allowed(name, Algorithms::all)) << name;
  }
  EXPECT_FALSE(is_allowed("winograd-bf16", Precision::fp32));
  EXPECT_TRUE(is_allowed("winograd-bf16", Precision::bf16));
  EXPECT_TRUE(is_allowed("winograd", Precision::bf16));
}

TEST(ChooseImplementations, AMachineThatSlowsDownTreatsTheLaterChainsAlike) {
  FakeChain chain{{{{"plain", 100}, {"fast", 90}}, {{"plain", 100}, {"fast", 90}}}};
  chain.slow_after = 9;  // three counts tried twice, one pass of each chain, one repeat
  EXPECT_THAT(chain.choose(kTwoLayers), ElementsAre("fast", "fast"));
}

TEST(ChooseImplementations, ComparesAtTheLargestCountThatFitsIntoTheBudget) {
  FakeChain chain{{{{"plain", 100}, {"fast", 60}}}};
  chain.choose({{"plain", "fast"}});
  EXPECT_EQ(chain.passes.at({"fast"}).back(), 16);

  FakeChain hurried{{{{"plain", 100}, {"fast", 60}}}};
  hurried.budget_ns = 9000;
  hurried.choose({{"plain", "fast"}});
  EXPECT_EQ(hurried.passes.at({"fast"}).back(), 4);
  EXPECT_LE(hurried.now_ns, hurried.budget_ns);
}

TEST(ChooseImplementations, ForeseesThatAPassHasCostsWhateverTheSamples) {
  FakeChain chain{{{{"plain", 10}, {"fast", 6}}}};
  chain.pass_ns = 1000;
  chain.budget_ns = 18'000;  // a pass of 16 samples takes 1160, not 16 times what one of 1 does
  chain.choose({{"plain", "fast"}});
  EXPECT_EQ(chain.passes.at({"fast"}).back(), 16);
  EXPECT_LE(chain.now_ns, chain.budget_ns);
}

TEST(ChooseImplementations, UsesANameOnlyWhereTheLayerHasIt) {
  FakeChain chain{{{{"plain", 100}, {"fast", 50}}, {{"plain", 100}}}};
  EXPECT_THAT(chain.choose({{"plain", "fast"}, {"plain"}}), ElementsAre("fast", "plain"));
}

}  // namespace
}  // namespace millrace
