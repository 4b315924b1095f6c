#include "framework/layers/fusion.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "tests/framework/layers/fixtures.hpp"

namespace millrace::test {
namespace {

namespace nn = torch::nn;

std::vector<LayerFacts> of_types(const std::vector<std::string>& types) {
  std::vector<LayerFacts> layers;
  for (const std::string& type : types) layers.push_back({"layer", type, {4, 8, 8}, {4, 8, 8}});
  return chained(layers);
}

using Fusions = std::vector<Fusion>;

constexpr Fusion kNothingLeft{.forward_done = true, .backward_done = true};

TEST(Fusion, pooling_takes_the_relu_before_it) {
  EXPECT_EQ(fusions(of_types({"conv2d", "relu", "max_pool2d"}), {"winograd", "", "millrace"}),
            (Fusions{{.pooled_behind = true}, kNothingLeft, {.relu_before = true}}));
}

TEST(Fusion, a_product_takes_the_relu_behind_it) {
  EXPECT_EQ(fusions(of_types({"conv2d", "relu", "max_pool2d"}), {"direct", "", "libtorch"}),
            (Fusions{{.relu_behind = true, .pooled_behind = true}, {.forward_done = true}, {}}));
  EXPECT_EQ(fusions(of_types({"linear", "relu"}), {"millrace", "libtorch"}),
            (Fusions{{.relu_behind = true}, {.forward_done = true}}));
}

TEST(Fusion, a_convolution_takes_the_backward_pass_of_the_relu_before_it) {
  EXPECT_EQ(fusions(of_types({"relu", "conv2d"}), {"", "direct"}),
            (Fusions{{.backward_done = true}, {.relu_before = true}}));
  EXPECT_EQ(fusions(of_types({"conv2d", "relu", "conv2d", "relu"}), {"direct", "", "winograd", ""}),
            (Fusions{{.relu_behind = true},
                     kNothingLeft,
                     {.relu_behind = true, .relu_before = true},
                     {.forward_done = true}}));
}

TEST(Fusion, a_convolution_knows_of_pooling_behind_it) {
  const auto pooled = [](const std::vector<std::string>& types) {
    return fusions(of_types(types), std::vector<std::string>(types.size())).front().pooled_behind;
  };
  EXPECT_TRUE(pooled({"conv2d", "max_pool2d"}));
  EXPECT_TRUE(pooled({"conv2d", "relu", "max_pool2d"}));
  EXPECT_FALSE(pooled({"conv2d", "relu", "conv2d", "max_pool2d"}));
  EXPECT_FALSE(pooled({"conv2d", "relu"}));
  EXPECT_FALSE(pooled({"conv2d"}));
  EXPECT_FALSE(pooled({"linear", "max_pool2d"}));
}

TEST(Fusion, batch_normalisation_takes_both_passes_of_the_relu_behind_it) {
  EXPECT_EQ(fusions(of_types({"batch_norm", "relu", "conv2d"}), {"millrace", "", "direct"}),
            (Fusions{{.relu_behind = true}, kNothingLeft, {}}));
}

TEST(Fusion, a_relu6_is_left_to_batch_normalisation_alone) {
  EXPECT_EQ(fusions(of_types({"batch_norm", "relu6", "conv2d"}), {"millrace", "", "direct"}),
            (Fusions{{.relu_behind = true, .relu6_behind = true}, kNothingLeft, {}}));
  EXPECT_EQ(fusions(of_types({"conv2d", "relu6", "conv2d"}), {"direct", "", "direct"}), Fusions(3));
}

TEST(Fusion, only_neighbours_that_nobody_else_reads_are_fused) {
  std::vector<LayerFacts> layers = of_types({"conv2d", "relu", "max_pool2d", "add"});
  const std::vector<std::string> ours = {"direct", "", "millrace", ""};
  layers[3].producers = {2, 1};  // a skip connection around the pooling
  layers[1].readers = {2, 3};
  EXPECT_EQ(fusions(layers, ours),
            (Fusions{{.relu_behind = true}, {.forward_done = true}, {}, {}}));
  layers[3].producers = {2, 0};  // around the relu, too
  layers[1].readers = {2};
  layers[0].readers = {1, 3};
  EXPECT_EQ(fusions(layers, ours), (Fusions{{}, kNothingLeft, {.relu_before = true}, {}}));
}

TEST(Fusion, what_goes_to_the_loss_stays_what_it_is) {
  std::vector<LayerFacts> layers = of_types({"linear", "relu", "linear"});
  layers[0].auxiliary_weight = 0.3;
  EXPECT_EQ(fusions(layers, {"millrace", "", ""}), Fusions(3));
}

TEST(Fusion, others_leave_it_alone) {
  const Fusions none(3), pooled = {{.pooled_behind = true}, {}, {}};
  EXPECT_EQ(fusions(of_types({"conv2d", "relu", "max_pool2d"}), {"libtorch", "", "libtorch"}),
            pooled);
  EXPECT_EQ(fusions(of_types({"conv2d", "max_pool2d", "relu"}), {"direct", "millrace", ""}),
            pooled);
  EXPECT_EQ(fusions(of_types({"conv2d", "dropout", "relu"}), {"direct", "", ""}), none);
  EXPECT_EQ(fusions(of_types({"linear", "relu", "linear"}), {"", "", "millrace"}), none);
  EXPECT_EQ(fusions(of_types({"relu"}), {""}), Fusions(1));
}

/// Layers one after another, as a stage runs them.
class Chain {
 public:
  Chain(std::vector<Sample>& layers, const std::vector<std::string>& implementations) {
    std::vector<LayerFacts> facts;
    for (const Sample& layer : layers) facts.push_back(layer.facts);
    const Fusions fused = fusions(chained(facts), implementations);
    for (std::size_t l = 0; l < layers.size(); ++l)
      ops_.push_back(make_layer_op(layers[l].layer, facts[l], 0, implementations[l], fused[l]));
    saved_.resize(layers.size());
  }

  at::Tensor forward(at::Tensor x) {
    for (std::size_t l = 0; l < ops_.size(); ++l)
      x = ops_[l]->forward(x, {}, true, &saved_[l], false);
    return x;
  }
  at::Tensor backward(at::Tensor dy) {
    for (std::size_t l = ops_.size(); l-- > 0;) dy = input_gradient(*ops_[l], dy, saved_[l]);
    return dy;
  }
  double kept_bytes(std::size_t l) const {
    double bytes = 0;
    for (const at::Tensor& tensor : saved_[l]) bytes += static_cast<double>(tensor.nbytes());
    return bytes;
  }
  at::Tensor gradient(std::size_t l, std::size_t parameter) {
    return gradient_of(ops_[l]->parameters()[parameter]);
  }

 private:
  std::vector<std::unique_ptr<LayerOp>> ops_;
  std::vector<Saved> saved_;
};

/// convolution, relu, pooling, 2 x (convolution, relu), strided convolution, flatten, linear, relu
std::vector<Sample> network() {
  torch::manual_seed(2);
  return {sample("conv2d", nn::Conv2d(nn::Conv2dOptions(3, 10, 5).padding(2)), {3, 12, 12}),
          sample("relu", nn::ReLU(), {10, 12, 12}),
          sample("max_pool2d", nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2)), {10, 12, 12}),
          sample("conv2d", nn::Conv2d(nn::Conv2dOptions(10, 7, 3).padding(1)), {10, 5, 5}),
          sample("relu", nn::ReLU(), {7, 5, 5}),
          sample("conv2d", nn::Conv2d(nn::Conv2dOptions(7, 9, 3).padding(1)), {7, 5, 5}),
          sample("relu", nn::ReLU(), {9, 5, 5}),
          sample("conv2d", nn::Conv2d(nn::Conv2dOptions(9, 8, 3).stride(2)), {9, 5, 5}),
          sample("flatten", nn::Flatten(), {8, 2, 2}),
          sample("linear", nn::Linear(32, 9), {32}),
          sample("relu", nn::ReLU(), {9})};
}

/// The same through autograd.
Answer plain(std::vector<Sample>& layers, const at::Tensor& x, const at::Tensor& dy) {
  const at::Tensor leaf = x.detach().clone().requires_grad_();
  at::Tensor y = leaf;
  std::vector<at::Tensor> wanted = {leaf};
  for (Sample& layer : layers) {
    y = layer.layer.module.forward(y);
    for (const at::Tensor& parameter : layer.layer.module.ptr()->parameters())
      wanted.push_back(parameter);
  }
  std::vector<at::Tensor> gradients = torch::autograd::grad({y}, wanted, {dy});
  return {y.detach(), gradients.front(), {gradients.begin() + 1, gradients.end()}};
}

/// Of all layers together, one of them Winograd's.
constexpr double kRoundOff = 5e-5;

TEST(Fusion, changes_no_result) {
  const std::vector<std::vector<std::string>> mixes = {
      {"direct", "", "millrace", "winograd", "", "direct", "", "direct", "", "millrace", ""},
      {"winograd", "", "libtorch", "direct", "", "winograd", "", "direct", "", "", ""},
      {"libtorch", "", "millrace", "libtorch", "", "winograd", "", "libtorch", "", "millrace", ""},
  };
  for (const auto& implementations : mixes) {
    SCOPED_TRACE(implementations.front() + ", " + implementations[2]);
    std::vector<Sample> layers = network();
    const at::Tensor x = random_batch({3, 12, 12}, 5), dy = random_batch({9}, 5);
    const Answer expected = plain(layers, x, dy);
    Chain chain(layers, implementations);
    expect_close(chain.forward(x), expected.y, "y", kRoundOff);
    expect_close(chain.backward(dy.clone()), expected.dx, "dx", kRoundOff);
    std::size_t next = 0;
    for (const std::size_t l : {0, 3, 5, 7, 9})
      for (const std::size_t parameter : {0, 1})
        expect_close(chain.gradient(l, parameter), expected.gradients[next++], "gradient",
                     kRoundOff);
  }
}

TEST(Fusion, a_relu_before_pooling_keeps_nothing) {
  std::vector<Sample> layers = network();
  Chain chain(layers, {"direct", "", "millrace", "direct", "", "", "", "", "", "millrace", ""});
  chain.forward(random_batch({3, 12, 12}, 5));
  EXPECT_EQ(chain.kept_bytes(1), 0);
  EXPECT_EQ(chain.kept_bytes(2), 5 * 10 * 5 * 5);
  EXPECT_EQ(chain.kept_bytes(4), 4 * 5 * 7 * 5 * 5);
}

}  // namespace
}  // namespace millrace::test
