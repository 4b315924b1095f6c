#include "framework/layers/layer_graph.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::test {
namespace {

using testing::ElementsAre;

TEST(InputGradients, AreNeededWhereSomethingBeforeLearns) {
  std::vector<LayerFacts> layers(4);
  layers[0].producers = {kSample};
  layers[1].producers = {kSample};
  layers[1].weights_bytes = 4;
  layers[2].producers = {0, 1};
  layers[3].producers = {0};
  EXPECT_THAT(input_gradients(layers), ElementsAre(ElementsAre(false), ElementsAre(false),
                                                   ElementsAre(false, true), ElementsAre(false)));
}

constexpr OutputUse kFree = OutputUse::free, kKept = OutputUse::kept, kSame = OutputUse::same_as_x;

TEST(MayOverwriteInputs, WhatIsOwnAndReadOnce) {
  // The sample is not theirs; layer 0 is read twice, 1 is kept, 3 once.
  const std::vector<OutputFacts> layers = {
      {kFree, {kSample}, 2}, {kKept, {0}, 1}, {kFree, {1}, 1}, {kFree, {2, 0}, 1}, {kFree, {3}, 1}};
  EXPECT_THAT(may_overwrite_inputs(layers, {0, 0, 0, 0, 0}),
              ElementsAre(false, false, false, true, true));
}

TEST(MayOverwriteInputs, NotWhatAnEarlierStageMade) {
  const std::vector<OutputFacts> layers = {{kFree, {-1}, 1}, {kFree, {0}, 1}};
  EXPECT_THAT(may_overwrite_inputs(layers, {0, 0}), ElementsAre(false, true));
}

TEST(MayOverwriteInputs, ThroughAViewOnlyWhereItsInputIsFree) {
  const std::vector<OutputFacts> once = {{kFree, {kSample}, 1}, {kSame, {0}, 1}, {kFree, {1}, 1}};
  EXPECT_THAT(may_overwrite_inputs(once, {0, 0, 0}), ElementsAre(false, true, true));
  const std::vector<OutputFacts> twice = {{kFree, {kSample}, 2}, {kSame, {0}, 1}, {kFree, {1}, 1}};
  EXPECT_THAT(may_overwrite_inputs(twice, {0, 0, 0}), ElementsAre(false, false, false));
}

TEST(MayOverwriteInputs, NotWhatARecomputationFindsAgain) {
  const std::vector<OutputFacts> layers = {{kFree, {kSample}, 1}, {kFree, {0}, 1}, {kFree, {1}, 1}};
  EXPECT_THAT(may_overwrite_inputs(layers, {0, 1, 1}), ElementsAre(false, false, true));
}

TEST(MayOverwriteInputs, NotWhatTheLayerReadsTwice) {
  const std::vector<OutputFacts> layers = {{kFree, {kSample}, 1}, {kFree, {0, 0}, 1}};
  EXPECT_THAT(may_overwrite_inputs(layers, {0, 0}), ElementsAre(false, false));
}

TEST(AddGradients, NeverWritesToWhatIsShared) {
  const at::Tensor a = at::ones({3}), b = at::full({3}, 2.0);
  const Gradient both = add_gradients({a, true}, {b, true});
  EXPECT_FALSE(both.shared);
  EXPECT_TRUE(at::equal(both.value, at::full({3}, 3.0)));
  EXPECT_TRUE(at::equal(a, at::ones({3})));
  EXPECT_TRUE(at::equal(b, at::full({3}, 2.0)));
  const Gradient into_b = add_gradients({a, true}, {b, false});
  EXPECT_TRUE(into_b.value.is_alias_of(b));
  EXPECT_TRUE(at::equal(a, at::ones({3})));
  EXPECT_TRUE(add_gradients({}, {a, true}).shared);
  EXPECT_FALSE(add_gradients({}, {}).value.defined());
}

TEST(PassedOn, SaysWhoHasTheSameStorage) {
  const at::Tensor dy = at::ones({3});
  const auto shared = [](const std::vector<Gradient>& gradients) {
    std::vector<bool> result;
    for (const Gradient& gradient : gradients) result.push_back(gradient.shared);
    return result;
  };
  EXPECT_THAT(shared(passed_on({dy, false}, {dy, dy})), ElementsAre(true, true));
  EXPECT_THAT(shared(passed_on({dy, false}, {dy, at::Tensor()})), ElementsAre(false, false));
  EXPECT_THAT(shared(passed_on({dy, true}, {dy.view({1, 3}), dy.clone()})),
              ElementsAre(true, false));
}

}  // namespace
}  // namespace millrace::test
