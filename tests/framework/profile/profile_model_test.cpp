// Measures small models on this machine. Nothing here depends on how long anything takes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "framework/profile/footprint.hpp"
#include "framework/profile/probe.hpp"
#include "framework/profile/profile_with_probe.hpp"
#include "millrace/errors.hpp"
#include "millrace/model.hpp"

namespace millrace {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

Model small_model(int hidden = 12) {
  Model model;
  model.name = "small";
  model.sample_shape = {2, 8, 8};
  model.classes = 3;
  model.add("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 4, 3).padding(1)))
      .add("relu", torch::nn::ReLU())
      .add("pool", torch::nn::MaxPool2d(2))
      .add("flatten", torch::nn::Flatten())
      .add("fc1", torch::nn::Linear(64, hidden))
      .add("fc2", torch::nn::Linear(hidden, 3));
  return model;
}

class ProfileModelTest : public ::testing::Test {
 protected:
  ProfileModelTest() : topology_(discover_topology({})) {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("profiles-" + std::to_string(::getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    request_.batch = 4;
    request_.budget_seconds = 0.5;
    request_.cache_folder = folder_.string();
  }
  ~ProfileModelTest() override { std::filesystem::remove_all(folder_); }

  /// With cores that run the probe at `rate_`, but for those in `slow_`.
  MeasuredProfile measure(const Model& model) const {
    return profile_model(model, topology_, request_, [this](const std::vector<int>& cpus) {
      CoreRates rates;
      ++probes_;
      for (const int cpu : cpus) rates[cpu] = slow_.contains(cpu) ? 0.4 * rate_ : rate_;
      return rates;
    });
  }

  void use_one_core() {
    const int cpu = topology_.kinds.front().cpus.front();
    topology_ = select_cores(topology_, std::to_string(cpu));
  }

  Topology topology_;
  ProfileRequest request_;
  double rate_ = 100;
  mutable int probes_ = 0;
  std::set<int> slow_;
  std::filesystem::path folder_;
};

TEST_F(ProfileModelTest, HasEveryLayerWithPositiveCostsOnEveryKind) {
  const MeasuredProfile measured = measure(small_model());
  const Profile& profile = measured.profile;
  EXPECT_FALSE(measured.reused);
  EXPECT_EQ(profile.model, "small");
  EXPECT_TRUE(profile.training);
  EXPECT_THAT(profile.samples, ElementsAre(1, 2, 4));
  ASSERT_THAT(profile.layers, SizeIs(6));
  EXPECT_EQ(profile.kinds.size(), measured.topology.kinds.size());
  for (const LayerCosts& layer : profile.layers) {
    for (const DeviceKind& kind : profile.kinds) {
      SCOPED_TRACE(layer.name + " on " + kind.name);
      EXPECT_THAT(layer.forward_ns.at(kind.name), Each(Gt(0)));
      EXPECT_THAT(layer.backward_ns.at(kind.name), Each(Gt(0)));
      EXPECT_TRUE(std::is_sorted(layer.forward_ns.at(kind.name).begin(),
                                 layer.forward_ns.at(kind.name).end()));
      EXPECT_GE(layer.update_ns.at(kind.name), 0);
      EXPECT_FALSE(layer.implementation.at(kind.name).empty());
    }
    EXPECT_TRUE(layer.spread_percent.has_value());
  }
}

TEST_F(ProfileModelTest, HasTheTwoPartsOfBackwardWhereItComesApart) {
  const Profile profile = measure(small_model()).profile;
  for (const LayerCosts& layer : profile.layers) {
    SCOPED_TRACE(layer.name);
    const bool deferred = layer.implementation.begin()->second == "millrace";
    const bool apart = layer.type == "conv2d" || (layer.type == "linear" && !deferred);
    EXPECT_EQ(layer.splits_backward(), apart);
    EXPECT_EQ(layer.weight_gradient_bytes > 0, apart);
    for (const auto& [kind, ns] : layer.weight_gradient_ns) EXPECT_THAT(ns, Each(Gt(0)));
    if (layer.threads_ns) {
      EXPECT_EQ(!layer.threads_ns->weight_gradient.empty(), apart);
    }
  }
}

TEST_F(ProfileModelTest, SaysWhatLayersHoldAndPassOn) {
  const Profile profile = measure(small_model()).profile;
  EXPECT_EQ(profile.layers[0].type, "conv2d");
  EXPECT_EQ(profile.layers[0].weights_bytes, 4 * (4 * 2 * 9 + 4));
  EXPECT_EQ(profile.layers[4].weights_bytes, 4 * (64 * 12 + 12));
  const bool deferred = profile.layers[4].implementation.begin()->second == "millrace";
  EXPECT_EQ(profile.layers[4].saved_bytes, deferred ? 0 : 4 * 64);
  EXPECT_EQ(profile.layers[4].deferred_bytes, deferred ? 4 * (64 + 12) : 0);
  ASSERT_THAT(profile.tensors, SizeIs(5));
  EXPECT_EQ(profile.tensors[0], (TensorCosts{"conv", {"relu"}, 4.0 * 4 * 8 * 8, false}));
  EXPECT_EQ(profile.tensors[4], (TensorCosts{"fc1", {"fc2"}, 4.0 * 12, false}));
  ASSERT_TRUE(profile.shared_memory_bytes.has_value());
  EXPECT_LT(*profile.shared_memory_bytes, static_cast<double>(topology_.memory_bytes));
  EXPECT_EQ(profile.loader_ns_per_sample, std::nullopt);
}

TEST_F(ProfileModelTest, MeasuresTeamsWhereAKindHasSeveralCores) {
  const Profile profile = measure(small_model()).profile;
  for (const DeviceKind& kind : profile.kinds) {
    if (kind.count < 2) continue;
    for (const LayerCosts& layer : profile.layers) {
      SCOPED_TRACE(layer.name);
      EXPECT_THAT(layer.splits, Contains("threads"));
      EXPECT_THAT(layer.threads_ns->forward.at(kind.name).at(kind.count), Each(Gt(0)));
      EXPECT_THAT(layer.threads_ns->backward.at(kind.name).at(kind.count), SizeIs(3));
    }
    EXPECT_THAT(profile.layers[4].splits, Contains("features"));
    EXPECT_THAT(profile.layers[4].features_ns->forward.at(kind.name).at(kind.count), Each(Gt(0)));
    EXPECT_THAT(profile.layers[0].splits, Not(Contains("features")));
  }
}

TEST_F(ProfileModelTest, MeasuresTheLoadOfOtherCores) {
  const Profile profile = measure(small_model()).profile;
  int cores = 0;
  for (const DeviceKind& kind : profile.kinds) cores += kind.count;
  for (const LayerCosts& layer : profile.layers) {
    EXPECT_EQ(layer.loaded.size(), cores > 1 ? profile.kinds.size() : 0);
    for (const auto& [kind, factor] : layer.loaded) EXPECT_GT(factor, 0) << layer.name;
  }
}

TEST_F(ProfileModelTest, OneCoreHasNoTeamsAndNoLoad) {
  use_one_core();
  const Profile profile = measure(small_model()).profile;
  for (const LayerCosts& layer : profile.layers) {
    EXPECT_THAT(layer.splits, Not(Contains("threads")));
    EXPECT_TRUE(layer.loaded.empty());
    EXPECT_FALSE(layer.threads_ns || layer.features_ns);
  }
}

TEST_F(ProfileModelTest, ChangesNoWeight) {
  const Model model = small_model();
  std::vector<torch::Tensor> before;
  for (const auto& [name, parameter] : named_parameters(model)) before.push_back(parameter.clone());
  measure(model);
  const auto after = named_parameters(model);
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_TRUE(torch::equal(before[i], after[i].second)) << after[i].first;
    EXPECT_FALSE(after[i].second.grad().defined()) << after[i].first;
  }
}

TEST_F(ProfileModelTest, ProbesTheCoresOfThisMachine) {
  use_one_core();
  const MeasuredProfile measured = profile_model(small_model(), topology_, request_);
  EXPECT_FALSE(measured.reused);
  EXPECT_EQ(measured.topology.kinds.front().cpus, topology_.kinds.front().cpus);
}

TEST_F(ProfileModelTest, IsKeptAndReusedWithoutMeasuring) {
  const MeasuredProfile first = measure(small_model());
  EXPECT_TRUE(std::filesystem::exists(first.file));
  request_.progress = [](double, const std::string&) { FAIL() << "something was measured"; };
  rate_ = 97;  // within the tolerance
  const MeasuredProfile second = measure(small_model());
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(second.file, first.file);
  EXPECT_EQ(second.profile, first.profile);
  EXPECT_EQ(second.topology.kinds, first.topology.kinds);
}

TEST_F(ProfileModelTest, IsScaledWhereAllCoresChangedTheirSpeed) {
  const MeasuredProfile first = measure(small_model());
  rate_ = 80;
  const MeasuredProfile second = measure(small_model());
  EXPECT_TRUE(second.reused);
  const std::string kind = first.profile.kinds.front().name;
  EXPECT_DOUBLE_EQ(second.profile.layers[0].forward_ns.at(kind)[2],
                   first.profile.layers[0].forward_ns.at(kind)[2] / 0.8);
  rate_ = 100;
  EXPECT_EQ(measure(small_model()).profile, first.profile) << "the kept file did not change";
}

TEST_F(ProfileModelTest, IsMeasuredAnewWhereSpeedsChangedTooMuch) {
  measure(small_model());
  rate_ = 40;
  EXPECT_FALSE(measure(small_model()).reused);
}

TEST_F(ProfileModelTest, IsDoubtedWhereNobodyWatchesSpeedsThatChanged) {
  const MeasuredProfile first = measure(small_model());
  EXPECT_FALSE(first.doubted);
  request_.watch_changes = false;
  EXPECT_FALSE(measure(small_model()).doubted);
  probes_ = 0;
  rate_ = 30;
  const MeasuredProfile second = measure(small_model());
  EXPECT_TRUE(second.reused && second.doubted);
  EXPECT_EQ(second.profile, first.profile);
  EXPECT_EQ(second.rates, first.rates);
  EXPECT_EQ(probes_, kProbesOfStart);
}

TEST_F(ProfileModelTest, ASlowCoreBecomesAKindOfItsOwn) {
  const CoreKind kind = topology_.kinds.front();
  if (device_cpus(topology_, kind).size() < 2) GTEST_SKIP() << "one core";
  measure(small_model());
  slow_ = {kind.cpus.front()};
  const MeasuredProfile measured = measure(small_model());
  EXPECT_FALSE(measured.reused) << "kept at other speeds";
  ASSERT_EQ(measured.topology.kinds.size(), topology_.kinds.size() + 1);
  EXPECT_EQ(measured.topology.kind_of(kind.cpus.front())->cpus, std::vector{kind.cpus.front()});
  EXPECT_EQ(measured.profile.kinds.size(), measured.topology.kinds.size());
  EXPECT_EQ(measured.profile.layers[0].forward_ns.size(), measured.topology.kinds.size());
  const MeasuredProfile again = measure(small_model());
  EXPECT_TRUE(again.reused);
  EXPECT_EQ(again.topology.kinds, measured.topology.kinds);
}

TEST_F(ProfileModelTest, AnotherModelOrBatchIsMeasured) {
  use_one_core();
  const std::string file = measure(small_model()).file;
  const MeasuredProfile wider = measure(small_model(13));
  EXPECT_FALSE(wider.reused);
  EXPECT_NE(wider.file, file);
  request_.batch = 5;
  const MeasuredProfile larger = measure(small_model());
  EXPECT_FALSE(larger.reused);
  EXPECT_NE(larger.file, file);
}

TEST_F(ProfileModelTest, ADilatedConvolutionIsAnotherModel) {
  use_one_core();
  const std::string file = measure(small_model()).file;
  Model dilated = small_model();
  const auto options = torch::nn::Conv2dOptions(2, 4, 3).padding(2).dilation(2);
  dilated.layers[0].module = torch::nn::AnyModule(torch::nn::Conv2d(options));
  EXPECT_NE(measure(dilated).file, file) << "of the same shapes and work";
}

TEST_F(ProfileModelTest, OneMadeWhileMemoryWasShortIsMadeAgain) {
  use_one_core();
  const auto facts = check_model(small_model());
  double bytes = 1000;
  const auto fits = [&] {
    try {
      return samples_that_fit(facts, bytes, request_.batch) > 0;
    } catch (const ResourceError&) {
      return false;
    }
  };
  while (!fits()) bytes *= 1.1;
  topology_.memory_available_bytes = static_cast<std::int64_t>(1.2 * bytes);
  measure(small_model());
  EXPECT_TRUE(measure(small_model()).reused);
  topology_.memory_available_bytes *= 100;
  EXPECT_FALSE(measure(small_model()).reused);
  EXPECT_TRUE(measure(small_model()).reused);
}

TEST_F(ProfileModelTest, MeasuresAnewWhereAsked) {
  use_one_core();
  measure(small_model());
  request_.reuse = false;
  EXPECT_FALSE(measure(small_model()).reused);
}

TEST_F(ProfileModelTest, ACorruptKeptProfileIsMeasuredAnewAndReplaced) {
  use_one_core();
  const std::string file = measure(small_model()).file;
  std::ofstream(file) << "{\"format\": ";
  const MeasuredProfile again = measure(small_model());
  EXPECT_FALSE(again.reused);
  EXPECT_EQ(again.file, file);
  EXPECT_GT(std::filesystem::file_size(file), 100U);
}

TEST_F(ProfileModelTest, AFolderThatCannotBeWrittenIsNoError) {
  use_one_core();
  std::filesystem::create_directories(folder_);
  std::ofstream(folder_ / "file") << "no folder";
  request_.cache_folder = (folder_ / "file").string();
  const MeasuredProfile measured = measure(small_model());
  EXPECT_EQ(measured.file, "");
  EXPECT_THAT(measured.profile.layers, SizeIs(6));
}

TEST_F(ProfileModelTest, ReportsProgressUpToOne) {
  std::vector<double> fractions;
  request_.progress = [&](double fraction, const std::string&) { fractions.push_back(fraction); };
  measure(small_model());
  ASSERT_FALSE(fractions.empty());
  EXPECT_TRUE(std::is_sorted(fractions.begin(), fractions.end()));
  EXPECT_GT(fractions.front(), 0);
  EXPECT_EQ(fractions.back(), 1);
}

TEST_F(ProfileModelTest, AnExceptionOfTheCallersEndsIt) {
  request_.progress = [](double, const std::string&) { throw std::runtime_error("enough"); };
  EXPECT_THROW(measure(small_model()), std::runtime_error);
}

TEST_F(ProfileModelTest, RefusesABatchOrBudgetOfNothing) {
  request_.batch = 0;
  EXPECT_THROW(measure(small_model()), ConfigError);
  request_.batch = 1;
  request_.budget_seconds = 0;
  EXPECT_THROW(measure(small_model()), ConfigError);
}

TEST_F(ProfileModelTest, RefusesAModelThatDoesNotFitIntoMemory) {
  topology_.memory_available_bytes = 1000;
  try {
    measure(small_model());
    FAIL() << "900 bytes were enough";
  } catch (const ResourceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("900 B"));
  }
}

TEST_F(ProfileModelTest, MeasuresABatchOfOneSample) {
  use_one_core();
  request_.batch = 1;
  EXPECT_THAT(measure(small_model()).profile.samples, ElementsAre(1));
}

}  // namespace
}  // namespace millrace
