// How exact the convolutions are on what they get in training: each convolution of a model, its
// input and its output's gradient taken from a pass over real images, against LibTorch in double.
// Prints the rms error of direct convolution, and Winograd's in its multiples.
//   bench_convolution_error --model alexnet --data DIR --weights none|FILE --batch 8

#include <ATen/ops/conv2d.h>
#include <fmt/format.h>
#include <torch/autograd.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>
#include <array>

#include "bench/arguments.hpp"
#include "framework/layers/layer_op.hpp"
#include "millrace/model.hpp"
#include "models/data/image_samples.hpp"
#include "models/data/loader.hpp"
#include "models/weights.hpp"
#include "models/zoo/zoo.hpp"

namespace millrace::bench {
namespace {

/// What a layer gets in a step.
struct Taken {
  torch::Tensor x, dy;
};

/// y, dx and dw of a layer.
using Results = std::array<torch::Tensor, 3>;
constexpr std::array<const char*, 3> kPasses = {"forward", "input gradient", "weight gradient"};

Batch first_batch(const DataSplit& data, const Model& model, int batch) {
  const int channels = static_cast<int>(model.sample_shape.front());
  const SampleFormat format =
      sample_format(model.sample_shape, normalisation_of(*data.train, channels));
  return *Loader(std::make_shared<ImageSamples>(data.train, format),
                 {.batch = batch, .training = true})
              .next();
}

std::vector<Taken> taken_by_layers(const Model& model, const std::vector<LayerFacts>& facts,
                                   const Batch& batch) {
  std::vector<Taken> taken;
  std::vector<torch::Tensor> outputs;
  for (std::size_t l = 0; l < facts.size(); ++l) {
    std::vector<torch::Tensor> xs;
    for (const int from : facts[l].producers)
      xs.push_back(from == kSample ? batch.inputs : outputs[static_cast<std::size_t>(from)]);
    taken.push_back({xs.front().detach().clone(), {}});
    torch::nn::AnyModule module = model.layers[l].module;
    outputs.push_back(xs.size() == 1 ? module.forward(xs.front()) : module.forward(xs));
    if (outputs.back().requires_grad()) outputs.back().retain_grad();
  }
  torch::nn::functional::cross_entropy(outputs.back(), batch.targets).backward();
  for (std::size_t l = 0; l < taken.size(); ++l) taken[l].dy = outputs[l].grad();
  return taken;
}

torch::Tensor double_bias(const torch::nn::Conv2dImpl& conv) {
  return conv.bias.defined() ? conv.bias.detach().to(at::kDouble) : torch::Tensor();
}

Results in_double(const torch::nn::Conv2dImpl& conv, const Taken& taken) {
  const torch::Tensor x = taken.x.to(at::kDouble).requires_grad_();
  const torch::Tensor w = conv.weight.detach().to(at::kDouble).requires_grad_();
  const auto& options = conv.options;
  const torch::Tensor y = at::conv2d(x, w, double_bias(conv), options.stride(),
                                     c10::get<torch::ExpandingArray<2>>(options.padding()),
                                     options.dilation(), options.groups());
  const auto gradients = torch::autograd::grad({y}, {x, w}, {taken.dy.to(at::kDouble)});
  return {y.detach(), gradients[0], gradients[1]};
}

Results by_implementation(const Layer& layer, const LayerFacts& facts, const std::string& name,
                          const Fusion& fusion, const Taken& taken) {
  const auto op = make_layer_op(layer, facts, 0, name, fusion);
  Saved saved;
  const torch::Tensor y = op->forward(taken.x, {}, true, &saved, false);
  const torch::Tensor dx = op->backward(taken.dy.clone(), saved, {true}).front();
  return {y, dx, op->parameters()[0].gradient};
}

double rms_error(const torch::Tensor& actual, const torch::Tensor& expected) {
  const double error = (actual.to(at::kDouble) - expected).square().mean().sqrt().item<double>();
  return error / expected.square().mean().sqrt().item<double>();
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

int run(const Arguments& arguments) {
  const DataSplit data = open_data({.path = arguments.text("--data")});
  const Model model = make_model(arguments.text("--model"),
                                 static_cast<std::int64_t>(data.train->class_names().size()));
  if (arguments.text("--weights") != "none") load_weights(model, arguments.text("--weights"));
  const std::vector<LayerFacts> facts = check_model(model);
  const auto fused = fusions(facts, std::vector<std::string>(facts.size()));
  const auto taken =
      taken_by_layers(model, facts, first_batch(data, model, arguments.positive("--batch")));
  fmt::print("{:<14} {:<16} {:>12} {:>10}\n", "layer", "pass", "direct, rms", "winograd");
  for (std::size_t l = 0; l < facts.size(); ++l) {
    const Layer& layer = model.layers[l];
    if (!has(implementations_of(layer, facts[l]), "winograd")) continue;
    const Fusion fusion{.pooled_behind = fused[l].pooled_behind};
    const Results expected = in_double(*layer.module.ptr()->as<torch::nn::Conv2d>(), taken[l]);
    const Results direct = by_implementation(layer, facts[l], "direct", fusion, taken[l]);
    const Results winograd = by_implementation(layer, facts[l], "winograd", fusion, taken[l]);
    for (std::size_t p = 0; p < kPasses.size(); ++p) {
      const double least = rms_error(direct[p], expected[p]);
      fmt::print("{:<14} {:<16} {:>12.2e} {:>8.1f} x\n", layer.name, kPasses[p], least,
                 rms_error(winograd[p], expected[p]) / least);
    }
  }
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
