#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/pooling.h>

#include <algorithm>
#include <optional>

#include "millrace/joins.hpp"
#include "millrace/log.hpp"
#include "models/onnx/importer.hpp"

namespace millrace::onnx_import {

void set_parameter(const NodeReader& node, torch::Tensor& parameter, const torch::Tensor& value) {
  if (parameter.sizes() != value.sizes())
    node.refuse(fmt::format("has weights of [{}] where [{}] are needed",
                            fmt::join(value.sizes(), ", "), fmt::join(parameter.sizes(), ", ")));
  const torch::NoGradGuard no_gradients;
  parameter.copy_(value);
}

namespace {

namespace nn = torch::nn;
using Pair = std::vector<std::int64_t>;

torch::ExpandingArray<2> expand(const Pair& pair) { return {{pair.at(0), pair.at(1)}}; }

/// Of a window over images: rows, columns.
Pair pair_of(const NodeReader& node, const std::string& attribute, Pair absent) {
  const Pair pair = node.integers(attribute, std::move(absent));
  if (pair.size() != 2)
    node.refuse(fmt::format("has {} of {} dimensions, images have 2", attribute, pair.size()));
  return pair;
}

/// Begins, then ends; LibTorch pads both sides alike.
Pair padding_of(const NodeReader& node) {
  const std::string automatic = node.text("auto_pad");
  if (!automatic.empty() && automatic != "NOTSET" && automatic != "VALID")
    node.refuse("pads by auto_pad: export it with numbers");
  const Pair pads = node.integers("pads", {0, 0, 0, 0});
  if (pads.size() != 4 || pads[0] != pads[2] || pads[1] != pads[3])
    node.refuse(
        fmt::format("has the pads [{}], both sides alike are trained", fmt::join(pads, ", ")));
  return {pads[0], pads[1]};
}

/// Input 2. One of zeros that is computed stands for none: PyTorch's exporter writes it so.
std::optional<torch::Tensor> bias_of(const NodeReader& node) {
  const auto bias = node.constant(2);
  const bool none = bias && node.is_computed(2) && bias->count_nonzero().item<std::int64_t>() == 0;
  return none ? std::nullopt : bias;
}

void read_conv(Importer& to, const NodeReader& node) {
  const torch::Tensor weight = node.weight(1, "weight");
  if (weight.dim() != 4)
    node.refuse(fmt::format("has weights of {} dimensions, images need 4", weight.dim()));
  const auto bias = bias_of(node);
  const std::int64_t groups = node.integer("group", 1);
  if (groups < 1 || weight.size(0) % groups != 0)
    node.refuse(fmt::format("has {} groups for {} outputs", groups, weight.size(0)));
  nn::Conv2d conv(
      nn::Conv2dOptions(weight.size(1) * groups, weight.size(0), {{weight.size(2), weight.size(3)}})
          .stride(expand(pair_of(node, "strides", {1, 1})))
          .padding(expand(padding_of(node)))
          .dilation(expand(pair_of(node, "dilations", {1, 1})))
          .groups(groups)
          .bias(bias.has_value()));
  set_parameter(node, conv->weight, weight);
  if (bias) set_parameter(node, conv->bias, *bias);
  to.add(node, to.name_of(node, 1), conv);
}

torch::Tensor transposed(const NodeReader& node, const torch::Tensor& weight) {
  if (weight.dim() != 2)
    node.refuse(fmt::format("has weights of {} dimensions, 2 are trained", weight.dim()));
  return weight.t();
}

void add_linear(Importer& to, const NodeReader& node, const torch::Tensor& weight,
                const std::optional<torch::Tensor>& bias) {
  if (weight.dim() != 2)
    node.refuse(fmt::format("has weights of {} dimensions, 2 are trained", weight.dim()));
  if (bias && (bias->dim() != 1 || bias->size(0) != weight.size(0)))
    node.refuse("adds something else than a row to its product");
  nn::Linear linear(nn::LinearOptions(weight.size(1), weight.size(0)).bias(bias.has_value()));
  set_parameter(node, linear->weight, weight);
  if (bias) set_parameter(node, linear->bias, *bias);
  to.add(node, to.name_of(node, 1), linear);
}

void read_gemm(Importer& to, const NodeReader& node) {
  node.require("transA", 0, 0);
  if (node.number("alpha", 1) != 1 || node.number("beta", 1) != 1)
    node.refuse("scales its product: export a plain linear layer");
  const torch::Tensor weight = node.weight(1, "weight");
  const bool turned = node.integer("transB", 0) == 1;
  add_linear(to, node, turned ? weight : transposed(node, weight), bias_of(node));
}

void read_matmul(Importer& to, const NodeReader& node) {
  add_linear(to, node, transposed(node, node.weight(1, "weight")), std::nullopt);
}

template <typename Norm>
void add_norm(Importer& to, const NodeReader& node, const torch::Tensor& scale) {
  Norm norm(nn::BatchNormOptions(scale.numel())
                .eps(node.number("epsilon", 1e-5))
                .momentum(1 - node.number("momentum", 0.9)));
  set_parameter(node, norm->weight, scale);
  set_parameter(node, norm->bias, node.weight(2, "bias"));
  set_parameter(node, norm->running_mean, node.weight(3, "mean"));
  set_parameter(node, norm->running_var, node.weight(4, "variance"));
  to.add(node, to.name_of(node, 1), norm);
}

void read_batch_norm(Importer& to, const NodeReader& node) {
  if (node.integer("training_mode", 0) == 1 || node.proto().output_size() > 1) to.saw_training();
  if (to.reads_convolution(node)) to.saw_normalisation();
  const torch::Tensor scale = node.weight(1, "scale");
  to.reads_rows(node) ? add_norm<nn::BatchNorm1d>(to, node, scale)
                      : add_norm<nn::BatchNorm2d>(to, node, scale);
}

void read_max_pool(Importer& to, const NodeReader& node) {
  if (node.proto().output_size() > 1) node.refuse("hands on indices, which nothing trains here");
  const Pair kernel = pair_of(node, "kernel_shape", {});
  to.add(node, nn::MaxPool2d(nn::MaxPool2dOptions(expand(kernel))
                                 .stride(expand(pair_of(node, "strides", {1, 1})))
                                 .padding(expand(padding_of(node)))
                                 .dilation(expand(pair_of(node, "dilations", {1, 1})))
                                 .ceil_mode(node.integer("ceil_mode", 0) != 0)));
}

void read_average_pool(Importer& to, const NodeReader& node) {
  const Pair kernel = pair_of(node, "kernel_shape", {});
  const Pair dilations = pair_of(node, "dilations", {1, 1});  // from opset 19 on
  if (dilations != Pair{1, 1})
    node.refuse(
        fmt::format("has the dilations [{}], averages of neighbours (1, 1) are trained: "
                    "use a pooling without them, or a convolution",
                    fmt::join(dilations, ", ")));
  to.add(node, nn::AvgPool2d(nn::AvgPool2dOptions(expand(kernel))
                                 .stride(expand(pair_of(node, "strides", {1, 1})))
                                 .padding(expand(padding_of(node)))
                                 .ceil_mode(node.integer("ceil_mode", 0) != 0)
                                 .count_include_pad(node.integer("count_include_pad", 0) != 0)));
}

void read_global_pool(Importer& to, const NodeReader& node) {
  to.add(node, nn::AdaptiveAvgPool2d(1));
}

/// Over the pixels. The axes are an input from opset 18 on.
void read_mean(Importer& to, const NodeReader& node) {
  Pair axes = node.integers("axes", {});
  if (const auto given = node.constant(1)) {
    const torch::Tensor flat = given->to(torch::kLong).flatten();
    axes.assign(flat.data_ptr<std::int64_t>(), flat.data_ptr<std::int64_t>() + flat.numel());
  }
  for (std::int64_t& axis : axes) axis += axis < 0 ? 4 : 0;
  std::sort(axes.begin(), axes.end());
  if (axes != Pair{2, 3})
    node.refuse(fmt::format("has the axes [{}], the mean over pixels (2, 3) is trained",
                            fmt::join(axes, ", ")));
  to.add(node, nn::AdaptiveAvgPool2d(1));
  if (node.integer("keepdims", 1) == 0) to.flatten_last(node);
}

void read_flatten(Importer& to, const NodeReader& node) {
  node.require("axis", 1, 1);
  to.add(node, nn::Flatten());
}

/// To rows of all numbers: [N, K], either of which may be left open. What begins with the batch has
/// all numbers of a sample behind it, whatever K is called.
void read_reshape(Importer& to, const NodeReader& node) {
  const auto shape = node.constant(1);
  if (!shape || shape->scalar_type() != torch::kLong) node.refuse(kComputedShape);
  if (shape->numel() != 2)
    node.refuse(fmt::format("makes {} dimensions, rows of 2 are trained: use torch.flatten(x, 1)",
                            shape->numel()));
  const torch::Tensor extents = shape->flatten();
  const auto rows = extents[0].item<std::int64_t>(), width = extents[1].item<std::int64_t>();
  const bool of_batch = rows == kBatchExtent;
  if ((rows < -1 && !of_batch) || width == kBatchExtent || (width == kOpenExtent && !of_batch))
    node.refuse(kComputedShape);
  if (rows == 0 && node.integer("allowzero", 0) != 0) node.refuse("makes no rows: allowzero is 1");
  to.add(node, nn::Flatten());
  if (width != -1 && width != kOpenExtent) to.expect_width(width);
}

void read_clip(Importer& to, const NodeReader& node) {
  const auto low = node.constant_number(1), high = node.constant_number(2);
  if (!low || *low != 0 || (high && *high != 6))
    node.refuse("clips to something else than 0 .. 6 (relu6) or 0 and above (relu)");
  if (high) return to.add(node, nn::ReLU6());
  to.add(node, nn::ReLU());
}

void read_dropout(Importer& to, const NodeReader& node) {
  const double p = node.constant_number(1).value_or(node.number("ratio", 0.5));
  if (!(p >= 0 && p <= 1)) node.refuse(fmt::format("drops a share of {}, 0 to 1 are possible", p));
  if (node.constant_number(2).value_or(0) != 0 || to.opset() < 12) to.saw_training();
  to.add(node, nn::Dropout(p));
}

/// Two values, or the bias of the product before.
void read_add(Importer& to, const NodeReader& node) {
  if (node.values().size() == 2) return to.add(node, Add());
  if (read_places(to, node)) return;
  const auto first = node.constant(0), second = node.constant(1);
  if (!first && !second) node.refuse("has one input, a sum needs two");
  Layer& before = to.own_layer_before(node);
  const auto* linear = before.module.ptr()->as<nn::LinearImpl>();
  if (linear == nullptr || linear->bias.defined())
    node.refuse("adds a constant to something else than a product of rows");
  const torch::Tensor bias = first ? *first : *second;
  const std::int64_t outputs = linear->weight.size(0);
  if (bias.numel() != outputs || (outputs > 1 && bias.size(-1) != outputs))
    node.refuse(fmt::format("adds [{}] to a product of {} numbers, a row of as many is trained",
                            fmt::join(bias.sizes(), ", "), outputs));
  nn::Linear whole(nn::LinearOptions(linear->weight.size(1), outputs));
  set_parameter(node, whole->weight, linear->weight);
  set_parameter(node, whole->bias, bias.flatten());
  before.module = nn::AnyModule(whole);
  to.pass(node);
  to.name_by_bias(node, first ? 0 : 1, before);
}

void read_sum(Importer& to, const NodeReader& node) {
  node.require_values();
  node.values().size() == 1 ? to.pass(node) : to.add(node, Add());
}

void read_concat(Importer& to, const NodeReader& node) {
  node.require("axis", 1, 1);
  node.require_values();
  node.values().size() == 1 ? to.pass(node) : to.add(node, Concat());
}

/// Cross-entropy takes the scores themselves.
void read_softmax(Importer& to, const NodeReader& node) {
  if (!to.is_output(node)) node.refuse("stands inside the network, the loss has one at the end");
  const std::int64_t axis = node.integer("axis", to.opset() < 13 ? 1 : -1);
  if (to.reads_ids() && axis != -1 && axis != 2)
    node.refuse(fmt::format("is over axis {}, the loss has one over the vocabulary", axis));
  log_info("onnx", fmt::format("the {} at the end is left out: the loss has it", node.type()));
  to.pass(node);
}

}  // namespace

const std::map<std::string, Operator>& operators() {
  static const std::map<std::string, Operator> all = [] {
    std::map<std::string, Operator> made = {
        {"Conv", read_conv},
        {"Gemm", read_gemm},
        {"MatMul", read_matmul},
        {"BatchNormalization", read_batch_norm},
        {"MaxPool", read_max_pool},
        {"AveragePool", read_average_pool},
        {"GlobalAveragePool", read_global_pool},
        {"ReduceMean", read_mean},
        {"Flatten", read_flatten},
        {"Reshape", read_reshape},
        {"Relu", [](Importer& to, const NodeReader& node) { to.add(node, nn::ReLU()); }},
        {"Clip", read_clip},
        {"Dropout", read_dropout},
        {"Add", read_add},
        {"Sum", read_sum},
        {"Concat", read_concat},
        {"Softmax", read_softmax},
        {"LogSoftmax", read_softmax},
        {"Identity", [](Importer& to, const NodeReader& node) { to.pass(node); }}};
    made.merge(sequence_operators());
    return made;
  }();
  return all;
}

}  // namespace millrace::onnx_import
