#include "framework/layers/layer_op.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "framework/affinity/affinity.hpp"
#include "millrace/errors.hpp"
#include "millrace/sequence.hpp"
#include "tests/framework/layers/fixtures.hpp"

namespace millrace::test {
namespace {

namespace nn = torch::nn;

/// Every kind of layer with options away from their defaults.
std::vector<Sample> all_samples() {
  torch::manual_seed(3);
  return {
      sample("conv2d", nn::Conv2d(nn::Conv2dOptions(6, 8, {3, 5}).stride(2).padding({1, 2})),
             {6, 11, 13}),
      sample("conv2d", nn::Conv2d(nn::Conv2dOptions(6, 9, 3).groups(3).dilation(2).bias(false)),
             {6, 12, 12}),
      sample("conv2d", nn::Conv2d(nn::Conv2dOptions(3, 20, 3).padding(1)), {3, 13, 9}),
      sample("conv2d", nn::Conv2d(nn::Conv2dOptions(9, 5, 5).padding(2)), {9, 10, 10}),
      sample("conv2d", nn::Conv2d(nn::Conv2dOptions(3, 7, 11).stride(4).padding(2)), {3, 41, 47}),
      sample("linear", nn::Linear(13, 7), {13}),
      sample("linear", nn::Linear(nn::LinearOptions(5, 3).bias(false)), {4, 5}),
      sample("relu", nn::ReLU(), {3, 5, 5}),
      sample("max_pool2d", nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2).padding(1)), {4, 9, 9}),
      sample("max_pool2d", nn::MaxPool2d(nn::MaxPool2dOptions({2, 3}).stride(1).dilation({3, 2})),
             {19, 8, 9}),
      sample("max_pool2d", nn::MaxPool2d(2), {8, 9}),  // one image without channels
      sample("avg_pool2d", nn::AvgPool2d(2), {8, 9}),
      sample("avg_pool2d",
             nn::AvgPool2d(nn::AvgPool2dOptions(3).stride(2).padding(1).count_include_pad(false)),
             {4, 9, 9}),
      sample("adaptive_avg_pool2d", nn::AdaptiveAvgPool2d(3), {4, 7, 7}),
      sample("adaptive_avg_pool2d", nn::AdaptiveAvgPool2d(6), {4, 6, 6}),
      sample("flatten", nn::Flatten(), {4, 3, 3}),
      sample("identity", nn::Identity(), {4}),
      sample("module",
             nn::Conv2d(nn::Conv2dOptions(4, 4, 3).padding(1).padding_mode(torch::kReflect)),
             {4, 6, 6}),
      sample("conv2d", nn::Conv2d(nn::Conv2dOptions(4, 4, 3).padding(torch::kSame)), {4, 6, 6}),
      sample("layer_norm", nn::LayerNorm(nn::LayerNormOptions({6}).eps(1e-3)), {5, 6}),
      sample("layer_norm", nn::LayerNorm(nn::LayerNormOptions({6}).elementwise_affine(false)),
             {5, 6}),
      sample("gelu", nn::GELU(), {5, 6}),
      sample("gelu", nn::GELU(nn::GELUOptions().approximate("tanh")), {7}),
      sample("place_embedding", PlaceEmbedding(9, 6), {5, 6}),
      sample("attention", CausalAttention(3), {5, 36}),
      sample("lstm", SequenceLSTM(6, 7), {5, 6}),
  };
}

std::string describe(const Sample& s, const std::string& implementation) {
  return s.facts.type + " " + s.layer.module.ptr()->name() + ", " + implementation;
}

/// `x` as a neighbour of the same implementation hands it on.
at::Tensor in_layout_of(const std::string& implementation, const at::Tensor& x) {
  const bool plain = x.dim() != 4 || implementation == "libtorch";
  return x.contiguous(plain ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast);
}

/// Of an implementation's values to the module's, beside the largest: bfloat16 has 8 bits, of which
/// Winograd's transforms take three.
double tolerance_of(const std::string& implementation) {
  return implementation.ends_with("-bf16") ? 0.06 : 1e-5;
}

/// Calls `check(sample, implementation)` for every one.
template <typename Check>
void for_each_op(std::vector<Sample> samples, const Check& check) {
  for (Sample& s : samples)
    for (const std::string& implementation : implementations_of(s.layer, s.facts)) {
      SCOPED_TRACE(describe(s, implementation));
      check(s, implementation);
    }
}

TEST(LayerOp, equals_the_module_under_autograd) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const at::Tensor x = in_layout_of(implementation, random_batch(s.facts.input_shape, 5));
    const at::Tensor dy = random_batch(s.facts.output_shape, 5);
    const Answer expected = plain(s, x, dy);
    const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
    Saved saved;
    expect_close(op->forward(x.clone(), {}, true, &saved, false), expected.y, "y",
                 tolerance_of(implementation));
    expect_close(input_gradient(*op, dy.clone(), saved), expected.dx, "dx",
                 tolerance_of(implementation));
    EXPECT_TRUE(saved.empty());
    ASSERT_EQ(op->parameters().size(), expected.gradients.size());
    for (std::size_t i = 0; i < expected.gradients.size(); ++i)
      expect_close(gradient_of(op->parameters()[i]), expected.gradients[i],
                   op->parameters()[i].name, tolerance_of(implementation));
  });
}

/// Of two micro-batches whose weight gradients are made when both have been handed back.
struct TwoPasses {
  std::vector<at::Tensor> dxs;
  std::vector<at::Tensor> gradients;
  std::int64_t waiting_bytes = 0;  ///< of the first, between its two parts
};

TwoPasses two_passes(const Sample& s, const std::string& implementation, bool apart,
                     const at::Tensor& x, const at::Tensor& dy) {
  const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
  TwoPasses result;
  std::vector<Saved> saved(2);
  for (Saved& of_pass : saved) op->forward(x.clone(), {}, true, &of_pass, false);
  for (Saved& of_pass : saved)
    result.dxs.push_back(apart ? op->input_gradient(dy.clone(), of_pass, {true}).front()
                               : input_gradient(*op, dy.clone(), of_pass));
  for (const at::Tensor& kept : saved[0]) result.waiting_bytes += kept.nbytes();
  for (Saved& of_pass : saved)
    if (!of_pass.empty()) op->weight_gradient(of_pass);
  EXPECT_TRUE(saved[0].empty() && saved[1].empty());
  for (const ParameterSlot& slot : op->parameters()) result.gradients.push_back(gradient_of(slot));
  return result;
}

TEST(LayerOp, the_two_parts_of_backward_give_the_same_bits) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const at::Tensor x = in_layout_of(implementation, random_batch(s.facts.input_shape, 5));
    const at::Tensor dy = random_batch(s.facts.output_shape, 5);
    const TwoPasses whole = two_passes(s, implementation, false, x, dy);
    const TwoPasses apart = two_passes(s, implementation, true, x, dy);
    for (int pass : {0, 1}) EXPECT_TRUE(at::equal(whole.dxs[pass], apart.dxs[pass]));
    for (std::size_t i = 0; i < whole.gradients.size(); ++i)
      EXPECT_TRUE(at::equal(whole.gradients[i], apart.gradients[i]));
    EXPECT_EQ(whole.waiting_bytes, 0);
    if (apart.waiting_bytes > 0) {
      EXPECT_EQ(double(apart.waiting_bytes),
                5 * weight_gradient_bytes_per_sample(s.facts, implementation));
    }
    const bool a_module = implementations_of(s.layer, s.facts).size() == 2;  // kSame's
    const bool can_wait = s.facts.type == "conv2d" && !a_module;
    EXPECT_EQ(apart.waiting_bytes > 0,
              can_wait || (s.facts.type == "linear" && implementation == "libtorch"));
  });
}

TEST(LayerOp, a_team_of_threads_computes_the_same) {
  torch::manual_seed(4);
  std::vector<Sample> samples = {sample("linear", nn::Linear(150, 200), {150}),
                                 sample("linear", nn::Linear(20, 200), {20}),
                                 sample("conv2d", nn::Conv2d(3, 8, 3), {3, 9, 9})};
  for_each_op(samples, [](Sample& s, const std::string& implementation) {
    const at::Tensor x = random_batch(s.facts.input_shape, 300);
    const at::Tensor dy = random_batch(s.facts.output_shape, 300);
    const Answer expected = plain(s, x, dy);
    set_team_width(3);
    const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
    Saved saved;
    expect_close(op->forward(x, {}, true, &saved, false), expected.y, "y",
                 tolerance_of(implementation));
    expect_close(input_gradient(*op, dy.clone(), saved), expected.dx, "dx",
                 tolerance_of(implementation));
    set_team_width(1);
    for (std::size_t i = 0; i < expected.gradients.size(); ++i)
      expect_close(gradient_of(op->parameters()[i]), expected.gradients[i],
                   op->parameters()[i].name, tolerance_of(implementation));
  });
}

TEST(LayerOp, adds_gradients_until_they_are_cleared) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
    const at::Tensor x = random_batch(s.facts.input_shape, 4);
    const at::Tensor dy = random_batch(s.facts.output_shape, 4);
    const auto run = [&](std::int64_t first, std::int64_t count) {
      Saved saved;
      op->forward(x.narrow(0, first, count).clone(), {}, true, &saved, false);
      input_gradient(*op, dy.narrow(0, first, count).clone(), saved);
    };
    run(0, 4);
    op->clear_gradients();
    for (const ParameterSlot& slot : op->parameters()) EXPECT_FALSE(has_gradient(slot));
    run(0, 1);
    run(1, 3);
    const Answer expected = plain(s, x, dy);
    for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
      EXPECT_TRUE(gradient_of(op->parameters()[i]).is_contiguous());
      expect_close(gradient_of(op->parameters()[i]), expected.gradients[i],
                   op->parameters()[i].name, tolerance_of(implementation));
    }
  });
}

TEST(LayerOp, leaves_its_input_alone_unless_it_may_overwrite_it) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
    const at::Tensor x = random_batch(s.facts.input_shape, 3);
    const at::Tensor before = x.clone();
    const at::Tensor y = op->forward(x, {}, true, nullptr, false);
    EXPECT_TRUE(at::equal(x, before));
    expect_close(op->forward(x, {}, true, nullptr, true), y, "overwriting");
  });
}

TEST(LayerOp, leaves_alone_in_backward_what_others_have_of_its_input) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
    const at::Tensor batch = in_layout_of(implementation, random_batch(s.facts.input_shape, 4));
    const at::Tensor before = batch.clone();
    for (const bool part : {false, true}) {
      Saved saved;
      op->forward(part ? batch.narrow(0, 1, 2) : batch, {}, true, &saved, false);
      input_gradient(*op, random_batch(s.facts.output_shape, part ? 2 : 4), saved);
      EXPECT_TRUE(at::equal(batch, before)) << part;
    }
  });
}

TEST(LayerOp, says_whether_its_output_is_its_input) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
    const at::Tensor x = in_layout_of(implementation, random_batch(s.facts.input_shape, 3));
    const at::Tensor y = op->forward(x, {}, false, nullptr, false);
    EXPECT_EQ(y.is_alias_of(x), op->output_use() == OutputUse::same_as_x);
  });
}

TEST(LayerOp, makes_no_input_gradient_where_none_is_asked_for) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const auto op = make_layer_op(s.layer, s.facts, 0, implementation);
    Saved saved;
    const at::Tensor x = random_batch(s.facts.input_shape, 3);
    op->forward(x, {}, true, &saved, false);
    EXPECT_FALSE(
        input_gradient(*op, random_batch(s.facts.output_shape, 3), saved, false).defined());
    for (const ParameterSlot& slot : op->parameters()) EXPECT_TRUE(has_gradient(slot));
  });
}

TEST(LayerOp, shares_the_weights_and_not_the_gradients) {
  for_each_op(all_samples(), [](Sample& s, const std::string& implementation) {
    const auto one = make_layer_op(s.layer, s.facts, 0, implementation);
    const auto two = make_layer_op(s.layer, s.facts, 0, implementation);
    const auto parameters = s.layer.module.ptr()->named_parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_EQ(one->parameters()[i].name, "layer." + parameters[i].key());
      EXPECT_TRUE(one->parameters()[i].value.is_alias_of(parameters[i].value()));
      EXPECT_TRUE(two->parameters()[i].value.is_alias_of(parameters[i].value()));
      EXPECT_FALSE(one->parameters()[i].value.requires_grad());
    }
  });
}

TEST(LayerOp, knows_its_implementations) {
  const Sample conv = sample("conv2d", nn::Conv2d(3, 4, 3), {3, 8, 8});
  EXPECT_EQ(implementations_of(conv.layer, conv.facts).front(), "libtorch");
  try {
    make_layer_op(conv.layer, conv.facts, 0, "cudnn");
    FAIL() << "an unknown implementation was taken";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.tag(), "layers");
    EXPECT_THAT(error.what(), testing::HasSubstr("\"cudnn\""));
    EXPECT_THAT(error.what(), testing::HasSubstr("libtorch-channels-last"));
  }
}

TEST(LayerOp, counts_what_it_keeps_for_the_update) {
  const Sample linear = sample("linear", nn::Linear(7, 3), {7});
  for (const char* own : {"millrace", "millrace-bf16"})
    EXPECT_EQ(deferred_bytes_per_sample(linear.facts, own), 4 * (7 + 3)) << own;
  EXPECT_EQ(deferred_bytes_per_sample(linear.facts, "libtorch"), 0);
  EXPECT_EQ(deferred_bytes_per_sample(sample("relu", nn::ReLU(), {7}).facts, "libtorch"), 0);
}

/// Heads are shared by the team, and each by itself.
TEST(LayerOp, attention_is_the_same_for_any_team) {
  const Sample attention = sample("attention", CausalAttention(2), {6, 24});
  const at::Tensor x = random_batch({6, 24}, 3), dy = random_batch({6, 8}, 3);
  std::vector<at::Tensor> ys, dxs;
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    const auto op = make_layer_op(attention.layer, attention.facts, 0, "");
    Saved saved;
    ys.push_back(op->forward(x, {}, true, &saved, false));
    dxs.push_back(input_gradient(*op, dy, saved));
  }
  at::set_num_threads(1);
  EXPECT_TRUE(at::equal(ys[0], ys[1]));
  EXPECT_TRUE(at::equal(dxs[0], dxs[1]));
}

TEST(LayerOp, embedding_equals_the_module) {
  const Sample s = {{"layer", {}, nn::AnyModule(nn::Embedding(7, 3))},
                    {"layer", "embedding", {4}, {4, 3}}};
  const at::Tensor ids = at::randint(7, {5, 4}, at::kLong), dy = random_batch({4, 3}, 5);
  nn::AnyModule module = s.layer.module;
  const at::Tensor y = module.forward(ids);
  y.backward(dy);
  const auto op = make_layer_op(s.layer, s.facts, 0, "");
  Saved saved;
  expect_close(op->forward(ids, {}, true, &saved, false), y.detach(), "y");
  op->backward(dy, saved, {false});
  expect_close(op->parameters()[0].gradient, module.ptr()->parameters()[0].grad(), "weight");
}

TEST(LayerOp, counts_a_relus_output_where_nobody_else_keeps_it) {
  const auto kept = [](const std::vector<std::string>& types) {
    std::vector<LayerFacts> layers;
    for (const std::string& type : types) layers.push_back({"layer", type, {4, 8, 8}, {4, 8, 8}});
    return saved_bytes_per_sample(chained(layers), 1, "");
  };
  EXPECT_EQ(kept({"conv2d", "relu", "conv2d"}), 0);
  EXPECT_EQ(kept({"conv2d", "relu", "flatten", "linear"}), 0);
  EXPECT_EQ(kept({"conv2d", "relu", "concat", "conv2d"}), 4 * 256);
  EXPECT_EQ(kept({"batch_norm", "relu", "concat", "conv2d"}), 0);
  EXPECT_EQ(kept({"batch_norm", "relu6", "conv2d"}), 0);
  EXPECT_EQ(kept({"conv2d", "relu6", "conv2d"}), 8 * 256);
}

TEST(LayerOp, counts_what_it_keeps) {
  std::vector<Sample> samples = all_samples();
  samples.resize(7);  // the convolutions and linear layers
  samples.push_back(sample("max_pool2d", nn::MaxPool2d(2), {4, 9, 9}));
  samples.push_back(sample("avg_pool2d", nn::AvgPool2d(2), {4, 9, 9}));
  samples.push_back(sample("dropout", nn::Dropout(), {4, 9, 9}));
  samples.push_back(sample("flatten", nn::Flatten(), {4, 9, 9}));
  samples.push_back(sample("layer_norm", nn::LayerNorm(nn::LayerNormOptions({6})), {5, 6}));
  samples.push_back(sample("gelu", nn::GELU(), {5, 6}));
  samples.push_back(sample("place_embedding", PlaceEmbedding(9, 6), {5, 6}));
  samples.push_back(sample("attention", CausalAttention(3), {5, 36}));
  for (const Sample& s : samples) {
    for (const std::string& implementation : implementations_of(s.layer, s.facts)) {
      if (deferred_bytes_per_sample(s.facts, implementation) > 0) continue;  // counted there
      Saved saved;
      make_layer_op(s.layer, s.facts, 0, implementation)
          ->forward(random_batch(s.facts.input_shape, 2), {}, true, &saved, false);
      double bytes = 0;
      for (const at::Tensor& tensor : saved) bytes += static_cast<double>(tensor.nbytes());
      EXPECT_DOUBLE_EQ(saved_bytes_per_sample({s.facts}, 0, implementation), bytes / 2)
          << describe(s, implementation);
    }
  }
}

}  // namespace
}  // namespace millrace::test
