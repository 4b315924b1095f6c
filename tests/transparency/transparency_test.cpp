// The plan never changes the result: every parameter after three steps equals plain LibTorch
// training, whatever the stages, replicas, shares, micro-batches, schedule and splits.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/transparency/pipelined_training.hpp"
#include "tests/transparency/plain_training.hpp"

namespace millrace::test {
namespace {

constexpr double kTolerance = 1e-5;  // max|a - b| / max|a| per tensor
constexpr std::uint64_t kSeed = 23;
constexpr std::int64_t kBatch = 10;

using MakeModel = std::function<Model()>;

Model fresh(const MakeModel& make) {
  Model model = make();
  initialise(model, 5);
  return model;
}

OptimizerSettings sgd() { return {}; }

/// Plain training of a model, and what plans make of it.
class Comparison {
 public:
  Comparison(MakeModel make, std::vector<std::int64_t> samples, OptimizerSettings optimizer)
      : make_(std::move(make)), optimizer_(optimizer) {
    const Model model = fresh(make_);
    batches_ = random_batches(model, samples);
    before_ = weights_of(model);
    expected_ = train_plainly(model, batches_, optimizer_, kSeed);
  }

  NamedTensors run(const Shape& shape) const {
    const Model model = fresh(make_);
    return train_by_plan(model, make_plan(model, batches_[0].inputs.size(0), shape), batches_,
                         optimizer_, kSeed);
  }

  void expect_equal(const Shape& shape) const {
    const Difference difference = compare(expected_, run(shape));
    EXPECT_LE(difference.value, kTolerance) << difference.name << " under " << shape.text();
    worst_ = std::max(worst_, difference.value);
  }

  const NamedTensors& before() const { return before_; }
  const NamedTensors& expected() const { return expected_; }
  double worst() const { return worst_; }

 private:
  MakeModel make_;
  OptimizerSettings optimizer_;
  std::vector<Batch> batches_;
  NamedTensors before_, expected_;
  mutable double worst_ = 0;
};

const std::vector<std::vector<std::int64_t>> kShares = {{1}, {1, 1}, {3, 1}, {1, 1, 1}, {2, 0, 3}};

/// Every shape of the grid for one number of stages and one division into replicas.
void for_each_shape(int stages, const std::vector<std::int64_t>& shares,
                    const std::function<void(const Shape&)>& check) {
  // micro-batches of 10 samples: one; two, fewer than three stages; four, the last one smaller
  for (std::int64_t micro_batch : {kBatch, std::int64_t{5}, std::int64_t{3}})
    for (const std::string schedule : {"1f1b", "fill-drain"})
      for (bool recompute : {false, true})
        for (bool features : {false, true})
          check({stages, shares, micro_batch, schedule, recompute, features, ""});
}

class Grid : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  void check(const MakeModel& make) {
    const Comparison comparison(make, {kBatch, kBatch, kBatch}, sgd());
    const auto [stages, division] = GetParam();
    for_each_shape(stages, kShares[static_cast<std::size_t>(division)],
                   [&](const Shape& shape) { comparison.expect_equal(shape); });
    RecordProperty("worst_difference", std::to_string(comparison.worst()));
  }
};

TEST_P(Grid, lenet) { check(small_lenet); }
TEST_P(Grid, alexnet_narrow) { check(narrow_alexnet); }

INSTANTIATE_TEST_SUITE_P(stages_and_shares, Grid,
                         testing::Combine(testing::Range(1, 5), testing::Range(0, 5)),
                         [](const auto& info) {
                           std::string name =
                               std::to_string(std::get<0>(info.param)) + "_stages_shares";
                           for (auto share :
                                kShares[static_cast<std::size_t>(std::get<1>(info.param))])
                             name += "_" + std::to_string(share);
                           return name;
                         });

/// A few shapes that differ in everything.
const std::vector<Shape> kHandful = {
    {1, {1}, 10, "1f1b", false, false, ""},
    {1, {2, 1}, 4, "1f1b", true, true, ""},
    {3, {1, 1}, 3, "1f1b", false, true, ""},
    {4, {1, 2, 1}, 2, "fill-drain", true, false, ""},
};

TEST(Transparency, training_changes_what_is_compared) {
  const Comparison comparison(narrow_alexnet, {kBatch}, sgd());
  for (const auto& [name, before] : comparison.before())
    EXPECT_FALSE(at::equal(before, comparison.expected().at(name))) << name;
}

TEST(Transparency, a_smaller_last_batch_of_an_epoch) {
  const Comparison comparison(narrow_alexnet, {10, 10, 4, 1}, sgd());
  for (const Shape& shape : kHandful) comparison.expect_equal(shape);
}

TEST(Transparency, every_optimizer) {
  OptimizerSettings plain = sgd(), nesterov = sgd(), adamw = sgd();
  plain.momentum = 0;
  plain.weight_decay = 0.01;
  nesterov.nesterov = true;
  nesterov.weight_decay = 0.005;
  adamw.kind = OptimizerKind::adamw;
  adamw.learning_rate = 0.002;
  adamw.weight_decay = 0.1;
  for (const OptimizerSettings& settings : {plain, nesterov, adamw}) {
    const Comparison comparison(small_lenet, {kBatch, kBatch, kBatch}, settings);
    for (const Shape& shape : kHandful) comparison.expect_equal(shape);
  }
}

TEST(Transparency, clipping_by_the_norm_over_all_stages) {
  for (OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
    OptimizerSettings settings = sgd();
    settings.kind = kind;
    settings.learning_rate = kind == OptimizerKind::sgd ? 0.1 : 0.002;
    settings.clip_norm = 0.05;
    settings.epsilon = 1e-6;  // AdamW blows the rounding of gradients near epsilon up to full size
    const Comparison comparison(narrow_alexnet, {kBatch, kBatch, kBatch}, settings);
    for (const Shape& shape : kHandful) comparison.expect_equal(shape);
  }
}

TEST(Transparency, channels_last) {
  const Comparison comparison(narrow_alexnet, {kBatch, kBatch, kBatch}, sgd());
  for (Shape shape : kHandful) {
    shape.implementation = "libtorch-channels-last";
    comparison.expect_equal(shape);
  }
}

TEST(Transparency, a_loss_of_the_models_own) {
  const auto with_loss = [] {
    Model model = small_lenet();
    model.loss = [](const at::Tensor& output, const at::Tensor& target) {
      return (output - at::one_hot(target, 10)).pow(2).sum();
    };
    return model;
  };
  const Comparison comparison(with_loss, {kBatch, kBatch, kBatch}, sgd());
  for (const Shape& shape : kHandful) comparison.expect_equal(shape);
}

TEST(Transparency, a_step_repeated_gives_the_same_bits) {
  const Comparison comparison(narrow_alexnet, {kBatch, kBatch, kBatch}, sgd());
  for (const Shape& shape : kHandful) {
    const NamedTensors first = comparison.run(shape);
    for (int repeat = 0; repeat < 3; ++repeat)
      for (const auto& [name, tensor] : comparison.run(shape))
        EXPECT_TRUE(at::equal(tensor, first.at(name))) << name << " under " << shape.text();
  }
}

}  // namespace
}  // namespace millrace::test
