// The parts that measure: threads, teams, chains, the probe, factors under load.

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "framework/affinity/affinity.hpp"
#include "framework/profile/core_team.hpp"
#include "framework/profile/footprint.hpp"
#include "framework/profile/loaded_cores.hpp"
#include "framework/profile/pinned_thread.hpp"
#include "framework/profile/probe.hpp"
#include "millrace/errors.hpp"
#include "millrace/joins.hpp"

namespace millrace {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::Pair;

TEST(PinnedThread, RunsOnItsCpusWithItsWidth) {
  const std::vector<int> cpus = this_thread_cpus();
  PinnedThread thread(cpus);
  std::vector<int> seen;
  int width = 0;
  std::thread::id id = std::this_thread::get_id();
  thread.run([&] {
    seen = this_thread_cpus();
    width = omp_get_max_threads();
    id = std::this_thread::get_id();
  });
  EXPECT_EQ(seen, cpus);
  EXPECT_EQ(width, std::min(static_cast<int>(cpus.size()), omp_get_thread_limit()));
  EXPECT_NE(id, std::this_thread::get_id());
}

TEST(PinnedThread, HandsExceptionsOverAndGoesOn) {
  PinnedThread thread({this_thread_cpus().front()});
  EXPECT_THROW(thread.run([] { throw std::runtime_error("once"); }), std::runtime_error);
  bool ran = false;
  thread.run([&] { ran = true; });
  EXPECT_TRUE(ran);
}

TEST(PinnedThread, RefusesACpuThatIsNotThere) {
  EXPECT_THROW(PinnedThread({1'000'000}), std::exception);
}

/// As many times the first allowed CPU: members need not be on cores of their own.
std::vector<int> any_cpus(std::size_t count) {
  return std::vector<int>(count, this_thread_cpus().front());
}

TEST(CoreTeam, MembersWaitForEachOther) {
  CoreTeam team(any_cpus(3));
  std::atomic<int> arrived = 0;
  std::vector<int> seen(3);
  team.run([&](int member, const CoreTeam::Meet& meet) {
    ++arrived;
    meet();
    seen[static_cast<std::size_t>(member)] = arrived;
  });
  EXPECT_THAT(seen, ElementsAre(3, 3, 3));
}

TEST(CoreTeam, AMemberThatThrowsDoesNotHangTheOthers) {
  CoreTeam team(any_cpus(2));
  std::atomic<int> finished = 0;
  EXPECT_THROW(team.run([&](int member, const CoreTeam::Meet& meet) {
    if (member == 0) throw std::runtime_error("member 0");
    meet();
    meet();
    ++finished;
  }),
               std::runtime_error);
  EXPECT_EQ(finished, 1);
}

TEST(Probe, GivesEveryCoreARate) {
  const std::vector<int> cpus = this_thread_cpus();
  const CoreRates rates = probe_cores(cpus);
  ASSERT_EQ(rates.size(), cpus.size());
  for (const int cpu : cpus) EXPECT_GT(rates.at(cpu), 0);
}

TEST(Probe, PausesOnceADifferenceIsDoubtful) {
  int pauses = 0;
  const auto probe = patient_probe([&] { ++pauses; });
  for (int i = 0; i < kProbesOfSpeed; ++i) probe({this_thread_cpus().front()});
  EXPECT_EQ(pauses, 0);
  for (int i = 0; i < 2; ++i) probe({this_thread_cpus().front()});
  EXPECT_EQ(pauses, 2);
}

TEST(SettledRates, ProbesOnceWhereNothingIsDoubtful) {
  int probes = 0;
  const CoreRates rates = settled_rates(
      [&] {
        ++probes;
        return CoreRates{{0, 100}};
      },
      [](const CoreRates&) { return 1; });
  EXPECT_EQ(probes, 1);
  EXPECT_THAT(rates, ElementsAre(Pair(0, 100)));
}

TEST(SettledRates, ADisturbanceIsProbedAgain) {
  const std::vector<CoreRates> probed = {{{0, 100}, {1, 40}}, {{0, 90}, {1, 99}}};
  std::size_t probes = 0;
  const CoreRates rates =
      settled_rates([&] { return probed.at(probes++); },
                    [](const CoreRates& best) { return best.at(1) < 95 ? 9 : 1; });
  EXPECT_EQ(probes, 2U);
  EXPECT_THAT(rates, ElementsAre(Pair(0, 100), Pair(1, 99)));
}

TEST(SettledRates, ASlowCoreIsBelievedInTheEnd) {
  int probes = 0;
  const CoreRates rates = settled_rates(
      [&] {
        ++probes;
        return CoreRates{{0, 100}, {1, 40}};
      },
      [](const CoreRates& best) { return best.at(1) < 95 ? 9 : 1; });
  EXPECT_EQ(probes, 9);
  EXPECT_DOUBLE_EQ(rates.at(1), 40);
}

TEST(BalancedShares, AreInverseToTheCost) {
  EXPECT_THAT(balanced_shares({1, 1}, 64), ElementsAre(32, 32));
  EXPECT_THAT(balanced_shares({1, 3}, 64), ElementsAre(48, 16));
  EXPECT_THAT(balanced_shares({1, 1000}, 8), ElementsAre(8, 1)) << "at least one each";
}

TEST(AffordableBatch, IsTheBatchWhereThereIsTime) {
  EXPECT_EQ(affordable_batch({10, 10}, 1e9, 64), 64);
  EXPECT_EQ(affordable_batch({10, 10}, 1e9, 1), 2) << "one for each core";
}

TEST(AffordableBatch, ShrinksWithTheBudget) {
  // Two cores take 5 ns a sample together; 4.5 passes of 10 samples fit into 225 ns.
  EXPECT_EQ(affordable_batch({10, 10}, 225, 64), 10);
  EXPECT_EQ(affordable_batch({10, 10}, 0, 64), 2);
}

/// 96 + 32 bytes of weights; a sample keeps 24 + 16 bytes, 2 x 40 more come and go.
std::vector<LayerFacts> two_linear_layers() {
  return {{"a", "linear", {6}, {4}, 96, 0, 0}, {"b", "linear", {4}, {2}, 32, 0, 0}};
}

TEST(Footprint, ChainsShareWeightsAndMomenta) {
  EXPECT_DOUBLE_EQ(tensor_bytes({2, 3, 5}), 120);
  EXPECT_DOUBLE_EQ(chains_bytes(two_linear_layers(), {1}), 3 * 128 + 120);
  EXPECT_DOUBLE_EQ(chains_bytes(two_linear_layers(), {1, 2}), 4 * 128 + 3 * 120);
}

TEST(Footprint, SamplesThatFit) {
  EXPECT_EQ(samples_that_fit(two_linear_layers(), 0, 64), 64) << "memory unknown";
  EXPECT_EQ(samples_that_fit(two_linear_layers(), 1e9, 64), 64);
  EXPECT_EQ(samples_that_fit(two_linear_layers(), 3 * 128 + 10 * 120 + 5, 64), 10);
  EXPECT_THROW(samples_that_fit(two_linear_layers(), 400, 64), ResourceError);
}

TEST(LayerChain, CallsBeforeEachLayerAndTimesAll) {
  Model model;
  model.name = "two";
  model.sample_shape = {6};
  model.add("a", torch::nn::Linear(6, 4)).add("b", torch::nn::Linear(4, 2));
  const std::vector<LayerFacts> facts = check_model(model);
  ScratchWeights weights(model);
  LayerChain chain(model, facts, {"", ""}, weights);
  std::vector<std::size_t> called;
  PassTimes times = chain.forward_backward(3, false, [&](std::size_t l) { called.push_back(l); });
  chain.update(times);
  EXPECT_THAT(called, ElementsAre(0, 1, 1, 0));
  for (const auto& part : {times.forward_ns, times.backward_ns, times.update_ns}) {
    EXPECT_THAT(part, ElementsAre(Gt(0), Gt(0)));
  }
}

TEST(LayerChain, TimesTheTwoPartsOfBackwardWhereItComesApart) {
  Model model;
  model.name = "three";
  model.sample_shape = {6};
  model.add("a", torch::nn::Linear(6, 4)).add("relu", torch::nn::ReLU());
  model.add("b", torch::nn::Linear(4, 2));
  ScratchWeights weights(model);
  LayerChain chain(model, check_model(model), {"", "", "millrace"}, weights);
  const PassTimes times = chain.forward_backward(3, false, {}, LayerChain::Backward::apart);
  EXPECT_TRUE(times.backward_ns.empty());
  EXPECT_THAT(times.input_gradient_ns, ElementsAre(Gt(0), Gt(0), Gt(0)));
  EXPECT_THAT(times.weight_gradient_ns, ElementsAre(Gt(0), 0, 0)) << "b's is in the update";
  EXPECT_GT(times.total_ns(), times.weight_gradient_ns[0]);
}

TEST(LayerChain, BackwardBeginsAtEveryOutputThatGoesToTheLoss) {
  Model model;
  model.name = "headed";
  model.sample_shape = {6};
  model.add("a", torch::nn::Linear(6, 4)).add("head", torch::nn::Linear(4, 2));
  model.add("b", torch::nn::Linear(4, 2), {"a"}).add("relu", torch::nn::ReLU());
  model.auxiliary = {{"head", 0.3}, {"b", 0.5}};
  ScratchWeights weights(model);
  LayerChain chain(model, check_model(model), {"", "", "", ""}, weights);
  EXPECT_THAT(chain.forward_backward(3, false).backward_ns,
              ElementsAre(Gt(0), Gt(0), Gt(0), Gt(0)));
}

TEST(LayerChain, LeavesTheModelAlone) {
  Model model;
  model.name = "normalised";
  model.sample_shape = {6};
  model.add("a", torch::nn::Linear(6, 4)).add("norm", torch::nn::BatchNorm1d(4));
  model.add("sum", Add(), {"norm", "a"});
  const auto copies = [&] {
    std::vector<at::Tensor> values;
    for (const auto& tensors : {named_parameters(model), named_buffers(model)})
      for (const auto& [name, value] : tensors) values.push_back(value.detach().clone());
    return values;
  };
  const std::vector<at::Tensor> before = copies();
  ScratchWeights weights(model);
  LayerChain chain(model, check_model(model), {"", "", ""}, weights);
  PassTimes times = chain.forward_backward(3, false);
  chain.update(times);
  const std::vector<at::Tensor> after = copies();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(after[i], before[i])) << i;
}

TEST(LayerChain, FormsDeferredGradientsInTheUpdate) {
  Model model;
  model.name = "one";
  model.sample_shape = {300};
  model.add("a", torch::nn::Linear(300, 400));
  const std::vector<LayerFacts> facts = check_model(model);
  ScratchWeights weights(model);
  LayerChain chain(model, facts, {"millrace"}, weights);
  for (int pass = 0; pass < 3; ++pass) {
    PassTimes times = chain.forward_backward(8, /*accumulate=*/true);
    for (int part : {0, 1}) chain.update(times, part, 2);
    EXPECT_THAT(times.update_ns, ElementsAre(Gt(0), Gt(0)));
  }
}

TEST(LoadedFactors, CompareWithTheCurveAlone) {
  // Alone: 10 n forward, 20 n backward, 40 update; loaded at 3 samples with half the update.
  const MeasuredCounts alone = {{1, {{{10}, {20}, {40}}}}, {5, {{{50}, {100}, {40}}}}};
  const std::vector<PassTimes> loaded = {
      {{33}, {66}, {22}}, {{44}, {66}, {22}}, {{22}, {66}, {22}}};
  EXPECT_THAT(loaded_factors(alone, loaded, 3, 2), ElementsAre(DoubleEq(121.0 / 110)));
}

TEST(LoadedFactors, OfLayersWithoutWeightInTheSumAreOne) {
  const MeasuredCounts alone = {{1, {{{1000, 0.1}, {1000, 0.1}, {0, 0}}}}};
  const std::vector<PassTimes> loaded = {{{1500, 5}, {1500, 5}, {0, 0}}};
  EXPECT_THAT(loaded_factors(alone, loaded, 1, 2), ElementsAre(DoubleEq(1.5), DoubleEq(1)));
}

}  // namespace
}  // namespace millrace
