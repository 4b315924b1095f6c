#include "models/onnx/folding.hpp"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <vector>

#include "millrace/errors.hpp"
#include "models/onnx/operations.hpp"

namespace millrace::onnx_import {
namespace {

using Numbers = std::vector<std::int64_t>;

constexpr std::int64_t kMostNumbers = std::int64_t{1} << 20;

torch::Tensor input(const NodeReader& node, int i) {
  const auto tensor = node.constant(i);
  if (!tensor) node.refuse(fmt::format("has no constant as input {}", i));
  return *tensor;
}

Numbers numbers(const NodeReader& node, const torch::Tensor& tensor) {
  if (tensor.scalar_type() != torch::kLong || tensor.dim() > 1 || tensor.numel() > kMostNumbers)
    node.refuse("reads something else than a row of whole numbers");
  const torch::Tensor dense = tensor.contiguous();
  return {dense.data_ptr<std::int64_t>(), dense.data_ptr<std::int64_t>() + dense.numel()};
}

/// From opset 13 on they are an input.
Numbers axes_of(const NodeReader& node) {
  const auto given = node.constant(1);
  return given ? numbers(node, *given) : node.integers("axes", {});
}

torch::Tensor fold_shape(const NodeReader& node) {
  const Numbers all =
      node.sizes(0).value_or(Numbers{kBatchExtent, kOpenExtent, kOpenExtent, kOpenExtent});
  const auto rank = static_cast<std::int64_t>(all.size());
  const auto at = [&](std::int64_t index) {
    return std::clamp<std::int64_t>(index < 0 ? index + rank : index, 0, rank);
  };
  const std::int64_t begin = at(node.integer("start", 0)), end = at(node.integer("end", rank));
  return torch::tensor(Numbers(all.begin() + begin, all.begin() + std::max(begin, end)),
                       torch::kLong);
}

std::int64_t only_axis(const NodeReader& node, const Numbers& axes) {
  if (axes.size() != 1) node.refuse(fmt::format("has {} axes, one is read", axes.size()));
  return axes[0];
}

torch::Tensor fold_squeeze(const NodeReader& node) {
  const Numbers axes = axes_of(node);
  const torch::Tensor from = input(node, 0);
  return axes.empty() ? from.squeeze() : from.squeeze(only_axis(node, axes));
}

torch::Tensor fold_unsqueeze(const NodeReader& node) {
  return input(node, 0).unsqueeze(only_axis(node, axes_of(node)));
}

torch::Tensor fold_gather(const NodeReader& node) {
  const torch::Tensor from = input(node, 0), index = input(node, 1);
  if (from.dim() != 1 || node.integer("axis", 0) != 0)
    node.refuse("takes from something else than a row");
  Numbers at = numbers(node, index);
  for (std::int64_t& one : at) one += one < 0 ? from.size(0) : 0;
  return from.index_select(0, torch::tensor(at, torch::kLong)).reshape(index.sizes());
}

torch::Tensor fold_concat(const NodeReader& node) {
  std::vector<torch::Tensor> parts;
  std::int64_t count = 0;
  for (int i = 0; i < node.proto().input_size(); ++i) {
    parts.push_back(input(node, i));
    count += parts.back().numel();
    if (count > kMostNumbers)
      node.refuse(fmt::format("makes {} numbers, {} at most are computed", count, kMostNumbers));
  }
  return torch::cat(parts, node.integer("axis", 0));
}

torch::Tensor fold_reshape(const NodeReader& node) {
  const Numbers shape = numbers(node, input(node, 1));
  if (std::find(shape.begin(), shape.end(), 0) != shape.end())
    node.refuse("leaves an extent of a constant as it is");
  return input(node, 0).reshape(shape);
}

torch::Tensor fold_expand(const NodeReader& node) {
  std::int64_t count = 1;
  const Numbers shape = numbers(node, input(node, 1));
  for (const std::int64_t extent : shape) {
    if (extent < 0 || (extent > 0 && count > kMostNumbers / extent))
      node.refuse(fmt::format("makes a constant of extent {}", extent));
    count *= extent;
  }
  return input(node, 0).expand(shape);
}

/// To the type that it has, since values are float32.
torch::Tensor fold_cast_like(const NodeReader& node) {
  const torch::Tensor from = input(node, 0);
  const auto like = node.constant(1);
  if (from.scalar_type() != (like ? like->scalar_type() : torch::kFloat))
    node.refuse("makes a constant another type");
  return from;
}

const std::map<std::string, std::function<torch::Tensor(const NodeReader&)>>& folds() {
  static const std::map<std::string, std::function<torch::Tensor(const NodeReader&)>> all = {
      {"Shape", fold_shape},        {"Squeeze", fold_squeeze}, {"Unsqueeze", fold_unsqueeze},
      {"Gather", fold_gather},      {"Concat", fold_concat},   {"Reshape", fold_reshape},
      {"CastLike", fold_cast_like}, {"Expand", fold_expand}};
  return all;
}

}  // namespace

bool is_folded(const onnx::NodeProto& node, const Constants& constants) {
  const bool computed = folds().contains(node.op_type()) || operations().contains(node.op_type());
  if (!computed || node.input_size() == 0) return false;
  if (node.op_type() == "Shape") return true;
  const int count = node.op_type() == "CastLike" ? 1 : node.input_size();
  for (int i = 0; i < count; ++i)
    if (!node.input(i).empty() && !constants.contains(node.input(i))) return false;
  return true;
}

torch::Tensor fold(const NodeReader& node) {
  try {
    if (!folds().contains(node.type())) node.refuse(kComputedShape);
    const torch::Tensor made = folds().at(node.type())(node);
    if (made.numel() > kMostNumbers)
      node.refuse(fmt::format("makes a constant of {} numbers, {} at most are computed",
                              made.numel(), kMostNumbers));
    return made;
  } catch (const Error&) {  // of Millrace
    throw;
  } catch (const c10::Error& error) {
    node.refuse(std::string("computes no constant: ") + error.what_without_backtrace());
  } catch (const std::runtime_error& error) {  // LibTorch's of a shape that does not fit
    node.refuse(std::string("computes no constant: ") + error.what());
  }
}

}  // namespace millrace::onnx_import
