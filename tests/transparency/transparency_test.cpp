// The plan never changes the result: every parameter after three steps equals plain LibTorch
// training, whatever the stages, replicas, shares, micro-batches, schedule and splits.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "millrace/topology.hpp"
#include "tests/transparency/comparison.hpp"

namespace millrace::test {
namespace {

const std::vector<std::vector<std::int64_t>> kShares = {{1}, {1, 1}, {3, 1}, {1, 1, 1}, {2, 0, 3}};

/// Every shape of the grid for one number of stages and one division into replicas.
void for_each_shape(int stages, const std::vector<std::int64_t>& shares,
                    const std::function<void(const Shape&)>& check) {
  // micro-batches of 10 samples: one; two, fewer than three stages; four, the last one smaller
  for (std::int64_t micro_batch : {kBatch, std::int64_t{5}, std::int64_t{3}})
    for (const std::string schedule : {"1f1b", "fill-drain", "zero-bubble"})
      for (bool recompute : {false, true})
        for (bool features : {false, true})
          for (const std::vector<std::string>& implementations :
               {std::vector<std::string>{}, {"millrace", "direct"}})
            check({stages, shares, micro_batch, schedule, recompute, features, implementations});
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
TEST_P(Grid, graph) { check(small_graph); }
TEST_P(Grid, auxiliary_outputs) { check(small_heads); }

/// Sequences of token ids, a loss for each position.
TEST_P(Grid, text) {
  const auto [stages, division] = GetParam();
  for (const MakeModel& make : {MakeModel(small_gpt), MakeModel(small_lstm)}) {
    const Comparison comparison(make, {kBatch, 7}, sgd(), {{2}, {3}, {1}});
    for (const auto& [schedule, micro_batch] :
         {std::pair<std::string, std::int64_t>{"1f1b", kBatch}, {"zero-bubble", 3}})
      for (const bool recompute : {false, true})
        for (const std::vector<std::string>& implementations :
             {std::vector<std::string>{}, {"millrace"}})
          comparison.expect_equal({stages, kShares[static_cast<std::size_t>(division)], micro_batch,
                                   schedule, recompute, false, implementations});
  }
}

/// Batch normalisation: a step is one micro-batch.
TEST_P(Grid, residual) {
  const Comparison comparison(small_residual, {kBatch, kBatch, 7}, sgd(),
                              {{kBatch, true}, {kBatch, false, 5e-7}});
  const auto [stages, division] = GetParam();
  for (const std::string schedule : {"1f1b", "zero-bubble"})
    for (bool recompute : {false, true})
      for (const std::vector<std::string>& implementations :
           {std::vector<std::string>{}, {"millrace", "direct"}})
        comparison.expect_equal({stages, kShares[static_cast<std::size_t>(division)], kBatch,
                                 schedule, recompute, true, implementations});
}

INSTANTIATE_TEST_SUITE_P(stages_and_shares, Grid,
                         testing::Combine(testing::Range(1, 5), testing::Range(0, 5)),
                         [](const auto& instance) {
                           std::string name =
                               std::to_string(std::get<0>(instance.param)) + "_stages_shares";
                           for (auto share :
                                kShares[static_cast<std::size_t>(std::get<1>(instance.param))])
                             name.append("_").append(std::to_string(share));
                           return name;
                         });

/// All features are one worker's, the first one's or the last one's.
TEST(Transparency, a_worker_without_features) {
  const Comparison comparison(small_lenet, {kBatch, kBatch}, sgd());
  for (const std::vector<std::int64_t>& shares : {std::vector<std::int64_t>{1, 0}, {0, 1}})
    for (const std::int64_t micro_batch : {kBatch, std::int64_t{3}})
      comparison.expect_equal({1, shares, micro_batch, "1f1b", false, true, {}});
}

/// Cuts through branches: stages hold layers that are no neighbours in the model.
TEST(Transparency, any_ideals_of_a_graph) {
  const Comparison graph(small_graph, {kBatch, kBatch, 7}, sgd());
  const Comparison heads(small_heads, {kBatch, kBatch, 7}, sgd());
  const std::vector<Order> whole = {{kBatch, true}, {kBatch, false, 5e-7}};
  const Comparison residual(small_residual, {kBatch, kBatch, 7}, sgd(), whole);
  const Comparison with_head(residual_with_head, {kBatch, kBatch, 7}, sgd(), whole);
  for (std::uint32_t order = 1; order <= 8; ++order) {
    for (Shape shape : two_handfuls()) {
      shape.order = order;
      graph.expect_equal(shape);
      heads.expect_equal(shape);
      shape.micro_batch = kBatch;
      residual.expect_equal(shape);
      with_head.expect_equal(shape);
    }
  }
}

/// Not only to round-off: the order of the sums is the same, whenever their parts are made.
TEST(Transparency, schedules_give_the_same_bits) {
  for (const MakeModel& make :
       {MakeModel(small_lenet), MakeModel(small_graph), MakeModel(small_heads)}) {
    const Comparison comparison(make, {kBatch, kBatch, 7}, sgd());
    for (const std::vector<std::string>& implementations : {std::vector<std::string>{},
                                                            {"libtorch-channels-last"},
                                                            {"millrace", "direct"},
                                                            {"winograd", "millrace"}})
      for (const std::vector<std::int64_t>& shares : {kShares[0], kShares[4]})
        for (const bool recompute : {false, true})
          for (const std::int64_t micro_batch : {10, 5, 3}) {
            Shape shape{4, shares, micro_batch, "1f1b", recompute, false, implementations};
            const NamedTensors expected = comparison.run(shape);
            for (const char* schedule : {"fill-drain", "zero-bubble", "interleaved"}) {
              shape.schedule = schedule;
              shape.lanes = std::string(schedule) == "interleaved" ? 2 : 0;
              const Difference difference = compare(expected, comparison.run(shape));
              EXPECT_EQ(difference.value, 0) << difference.name << " under " << shape.text();
            }
          }
  }
}

/// Sets of devices with several stages each, which take turns.
TEST(Transparency, interleaved_stages) {
  for (const MakeModel& make : {MakeModel(small_lenet), MakeModel(small_graph),
                                MakeModel(small_heads), MakeModel(small_gpt)}) {
    const Comparison comparison(make, {kBatch, kBatch, 7}, sgd(), {{2}, {3}, {1}});
    for (const auto& [stages, lanes] : {std::pair{3, 2}, {4, 2}, {6, 3}, {3, 1}})
      for (const std::vector<std::int64_t>& shares : {kShares[0], kShares[2], kShares[4]})
        for (const std::int64_t micro_batch : {10, 5, 3})
          for (const bool features : {false, true}) {
            Shape shape{stages, shares, micro_batch, "interleaved", true, features, {"millrace"}};
            shape.lanes = lanes;
            comparison.expect_equal(shape);
          }
  }
}

/// A lane's stages are updated once the gradients of all lanes are known.
TEST(Transparency, interleaved_stages_with_clipped_gradients) {
  OptimizerSettings clipped = sgd();
  clipped.clip_norm = 0.05;
  const Comparison comparison(small_lenet, {kBatch, kBatch}, clipped, {{2}, {3}, {1}});
  Shape shape{4, {1, 1}, 3, "interleaved", false, false, {}};
  shape.lanes = 2;
  comparison.expect_equal(shape);
}

/// As GPipe: each micro-batch by its own statistics, as plain training of pieces of that size.
TEST(Transparency, statistics_of_micro_batches) {
  const Comparison comparison(small_residual, {kBatch, kBatch}, sgd(),
                              {{5, true}, {5, false, 5e-7}}, {.piece = 5});
  for (const int stages : {1, 3})
    for (const bool recompute : {false, true})
      comparison.expect_equal({stages, {1, 1}, 5, "1f1b", recompute, false, {}});
}

TEST(Transparency, training_changes_what_is_compared) {
  const Comparison comparison(narrow_alexnet, {kBatch}, sgd());
  for (const auto& [name, before] : comparison.before())
    EXPECT_FALSE(at::equal(before, comparison.expected().at(name))) << name;
}

TEST(Transparency, a_smaller_last_batch_of_an_epoch) {
  const Comparison comparison(narrow_alexnet, {10, 10, 4, 1}, sgd());
  for (const Shape& shape : two_handfuls()) comparison.expect_equal(shape);
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
    for (const Shape& shape : two_handfuls()) comparison.expect_equal(shape);
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
    for (const Shape& shape : two_handfuls()) comparison.expect_equal(shape);
  }
}

TEST(Transparency, every_implementation) {
  const Comparison comparison(narrow_alexnet, {kBatch, kBatch, kBatch}, sgd());
  const std::vector<std::vector<std::string>> mixes = {{"libtorch-channels-last"},
                                                       {"direct"},
                                                       {"winograd"},
                                                       {"winograd", "direct", "millrace"},
                                                       {"direct", "libtorch-channels-last"}};
  for (const auto& mix : mixes)
    for (const Shape& shape : handful_of(mix)) comparison.expect_equal(shape);
}

/// Every product is of factors that were rounded to 8 bits, under every plan alike.
TEST(Transparency, bfloat16_differs_by_its_rounding) {
  if (!computes_bf16()) GTEST_SKIP() << "this CPU does not multiply bfloat16 (AVX512-BF16)";
  const Comparison comparison(narrow_alexnet, {kBatch, kBatch, kBatch}, sgd());
  for (const Shape& shape : handful_of({"winograd-bf16", "direct", "millrace-bf16"})) {
    const Difference difference = compare(comparison.expected(), comparison.run(shape));
    EXPECT_LE(difference.value, 1.0 / 256) << difference.name << " under " << shape.text();
    EXPECT_GT(difference.value, 10 * kTolerance) << "nothing was rounded under " << shape.text();
  }
}

TEST(Transparency, a_loss_of_the_models_own) {
  const auto with_loss = [](Model model) {
    model.loss = [](const at::Tensor& output, const at::Tensor& target) {
      return (output - at::one_hot(target, 10)).pow(2).sum();
    };
    return model;
  };
  for (const auto make : {small_lenet, small_heads}) {
    const Comparison comparison([&] { return with_loss(make()); }, {kBatch, kBatch, kBatch}, sgd());
    for (const Shape& shape : two_handfuls()) comparison.expect_equal(shape);
  }
}

TEST(Transparency, a_step_repeated_gives_the_same_bits) {
  const Comparison comparison(narrow_alexnet, {kBatch, kBatch, kBatch}, sgd());
  for (const Shape& shape : two_handfuls()) {
    const NamedTensors first = comparison.run(shape);
    for (int repeat = 0; repeat < 3; ++repeat)
      for (const auto& [name, tensor] : comparison.run(shape))
        EXPECT_TRUE(at::equal(tensor, first.at(name))) << name << " under " << shape.text();
  }
}

}  // namespace
}  // namespace millrace::test
