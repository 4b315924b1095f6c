#include "models/onnx/operations.hpp"

#include <ATen/ExpandUtils.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/onnx/recurrence.hpp"

namespace millrace::onnx_import {

const torch::Tensor& Call::at(std::size_t i) const {
  if (!has(i)) node.refuse(fmt::format("lacks input {}", i));
  return inputs[i];
}

std::vector<std::int64_t> Call::numbers(std::size_t i) const {
  const torch::Tensor tensor = at(i).contiguous();
  if (tensor.scalar_type() != torch::kLong || tensor.dim() > 1)
    node.refuse(fmt::format("has something else than a row of whole numbers as input {}", i));
  return {tensor.data_ptr<std::int64_t>(), tensor.data_ptr<std::int64_t>() + tensor.numel()};
}

namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;
using Numbers = std::vector<std::int64_t>;

constexpr std::int64_t kMostComputed = std::int64_t{1} << 26, kMostParts = 1024;

/// Before a tensor of these extents is allocated.
void require_room(const Call& call, at::IntArrayRef extents) {
  std::int64_t count = 1;
  for (const std::int64_t extent : extents) {
    if (extent < 0 || (extent > 0 && count > kMostComputed / extent))
      call.node.refuse(
          fmt::format("makes an extent of {}: {} numbers at most are computed to see what "
                      "it does; export it with an open batch or one of 1",
                      extent, kMostComputed));
    count *= extent;
  }
}

Operation of_one(Tensor (*compute)(const Tensor&)) {
  return [compute](const Call& call) -> Tensors { return {compute(call.at(0))}; };
}

Operation of_two(Tensor (*compute)(const Tensor&, const Tensor&)) {
  return [compute](const Call& call) -> Tensors {
    require_room(call, at::infer_size(call.at(0).sizes(), call.at(1).sizes()));
    return {compute(call.at(0), call.at(1))};
  };
}

Tensor add(const Tensor& a, const Tensor& b) { return at::add(a, b); }
Tensor subtract(const Tensor& a, const Tensor& b) { return at::sub(a, b); }
Tensor power(const Tensor& a, const Tensor& b) { return at::pow(a, b.to(a.scalar_type())); }

/// Whole numbers by -1 apart: the least of them has no opposite, which ends the process.
Tensor quotient(const Tensor& a, const Tensor& b) {
  if (a.is_floating_point() || b.is_floating_point()) return at::div(a, b);
  const Tensor turns = at::eq(b, -1);
  return at::where(turns, at::neg(a), at::div(a, b.masked_fill(turns, 1), "trunc"));
}

/// An attribute of older opsets, an input of newer ones.
Numbers given_axes(const Call& call) {
  return call.has(1) ? call.numbers(1) : call.node.integers("axes", {});
}

/// Counted from the front, ascending.
Numbers sorted_axes(Numbers axes, std::int64_t rank) {
  for (std::int64_t& axis : axes) axis += axis < 0 ? rank : 0;
  std::sort(axes.begin(), axes.end());
  return axes;
}

Tensors mean(const Call& call) {
  const Tensor& x = call.at(0);
  const Numbers axes = given_axes(call);
  if (axes.empty()) call.node.refuse("takes the mean of all numbers");
  return {x.mean(at::IntArrayRef(axes), call.node.integer("keepdims", 1) != 0)};
}

Tensors softmax(const Call& call) {
  const Tensor& x = call.at(0);
  const bool old = call.file.opset < 13;  // one over all extents from the axis on
  const std::int64_t axis = call.node.integer("axis", old ? 1 : -1);
  if (old && axis != -1 && axis != x.dim() - 1)
    call.node.refuse("is over several extents, the last is computed");
  return {x.softmax(axis)};
}

Tensors product(const Call& call) {
  const Tensor &a = call.at(0), &b = call.at(1);
  if (a.dim() < 2 || b.dim() < 2) call.node.refuse("multiplies a row");
  const auto outer = [](const Tensor& x) { return x.sizes().slice(0, x.dim() - 2).vec(); };
  Numbers extents = at::infer_size(outer(a), outer(b));
  extents.insert(extents.end(), {a.size(-2), b.size(-1)});
  require_room(call, extents);
  return {at::matmul(a, b)};
}

Tensors transpose(const Call& call) {
  const Tensor& x = call.at(0);
  Numbers reversed(static_cast<std::size_t>(x.dim()));
  for (std::size_t i = 0; i < reversed.size(); ++i) reversed[i] = x.dim() - 1 - std::int64_t(i);
  return {x.permute(call.node.integers("perm", reversed))};
}

Tensors reshape(const Call& call) {
  const Tensor& x = call.at(0);
  Numbers shape = call.numbers(1);
  if (call.node.integer("allowzero", 0) == 0)
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (shape[i] == 0) shape[i] = x.size(static_cast<std::int64_t>(i));
  return {x.reshape(shape)};
}

Tensors squeeze(const Call& call) {
  Tensor x = call.at(0);
  const Numbers axes = sorted_axes(given_axes(call), x.dim());
  if (axes.empty()) return {x.squeeze()};
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    if (x.size(*axis) != 1) call.node.refuse("takes away an extent that is not 1");
    x = x.squeeze(*axis);
  }
  return {x};
}

Tensors unsqueeze(const Call& call) {
  Tensor x = call.at(0);
  const Numbers axes = given_axes(call);
  for (const std::int64_t axis : sorted_axes(axes, x.dim() + std::ssize(axes)))
    x = x.unsqueeze(axis);
  return {x};
}

/// In equal parts, the last one smaller, where no sizes are given.
Tensors split(const Call& call) {
  const Tensor& x = call.at(0);
  const std::int64_t axis = call.node.integer("axis", 0), parts = call.node.proto().output_size();
  const Numbers sizes = call.has(1) ? call.numbers(1) : call.node.integers("split", {});
  if (std::ssize(sizes) > kMostParts || parts < 1 || parts > kMostParts)
    call.node.refuse(fmt::format("makes more than {} parts", kMostParts));
  if (sizes.empty()) return x.split((x.size(axis) + parts - 1) / parts, axis);
  return x.split_with_sizes(sizes, axis);
}

/// A sequence of equal parts is one tensor, its parts along a new first extent.
Tensors split_to_sequence(const Call& call) {
  const Tensor& x = call.at(0);
  const std::int64_t axis = call.node.integer("axis", 0);
  if (!call.has(1) || call.at(1).numel() != 1 || call.node.integer("keepdims", 1) == 0)
    call.node.refuse("makes parts that are not of one size");
  const std::int64_t size = call.at(1).item<std::int64_t>();
  if (size < 1 || x.size(axis) % size != 0 || x.size(axis) / size > kMostParts)
    call.node.refuse(fmt::format("makes parts of {} of an extent of {}", size, x.size(axis)));
  return {at::stack(x.split(size, axis))};
}

Tensors part_of_sequence(const Call& call) {
  return {call.at(0).select(0, call.at(1).item<std::int64_t>())};
}

Tensors slice(const Call& call) {
  Tensor x = call.at(0);
  const Numbers starts = call.numbers(1), ends = call.numbers(2);
  Numbers axes(starts.size()), steps(starts.size(), 1);
  for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<std::int64_t>(i);
  if (call.has(3)) axes = call.numbers(3);
  if (call.has(4)) steps = call.numbers(4);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    call.node.refuse("has another number of ends, axes or steps than begins");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t size = x.size(axes[i]);
    const auto within = [size](std::int64_t index) { return std::clamp(index, -size, size); };
    x = x.slice(axes[i], within(starts[i]), within(ends[i]), std::min(steps[i], size + 1));
  }
  return {x};
}

Tensors gather(const Call& call) {
  const Tensor &x = call.at(0), &index = call.at(1);
  std::int64_t axis = call.node.integer("axis", 0);
  axis += axis < 0 ? x.dim() : 0;
  if (axis < 0 || axis >= x.dim() || index.scalar_type() != torch::kLong)
    call.node.refuse("takes by something else than whole numbers of an axis");
  Numbers extents = x.sizes().slice(0, static_cast<std::size_t>(axis)).vec();
  extents.insert(extents.end(), index.sizes().begin(), index.sizes().end());
  extents.insert(extents.end(), x.sizes().begin() + axis + 1, x.sizes().end());
  require_room(call, extents);
  const Tensor from_front = at::where(index < 0, index + x.size(axis), index);
  return {x.index_select(axis, from_front.flatten()).reshape(extents)};
}

Tensors concat(const Call& call) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    require_room(call, call.at(i).sizes());
    count += call.at(i).numel();
  }
  require_room(call, {count});
  return {at::cat(call.inputs, call.node.integer("axis", 0))};
}

Tensors shape(const Call& call) {
  const Numbers extents = call.at(0).sizes().vec();
  const auto rank = static_cast<std::int64_t>(extents.size());
  const auto at = [&](std::int64_t index) {
    return std::clamp<std::int64_t>(index < 0 ? index + rank : index, 0, rank);
  };
  const std::int64_t begin = at(call.node.integer("start", 0));
  const std::int64_t end = std::max(begin, at(call.node.integer("end", rank)));
  return {torch::tensor(Numbers(extents.begin() + begin, extents.begin() + end), torch::kLong)};
}

Tensors where(const Call& call) {
  const auto values = at::infer_size(call.at(1).sizes(), call.at(2).sizes());
  require_room(call, at::infer_size(call.at(0).sizes(), values));
  return {at::where(call.at(0).to(torch::kBool), call.at(1), call.at(2))};
}

Tensors triangle(const Call& call) {
  const std::int64_t diagonal = call.has(1) ? call.at(1).item<std::int64_t>() : 0;
  const bool upper = call.node.integer("upper", 1) != 0;
  return {upper ? call.at(0).triu(diagonal) : call.at(0).tril(diagonal)};
}

Tensors expanded(const Call& call) {
  const Numbers extents = at::infer_size(call.at(0).sizes(), call.numbers(1));
  require_room(call, extents);
  return {call.at(0).expand(extents)};
}

Tensors constant_of_shape(const Call& call) {
  const Numbers extents = call.numbers(0);
  require_room(call, extents);
  const auto value = call.node.tensor("value", call.file);
  if (!value) return {torch::zeros(extents, torch::kDouble)};
  const auto type = value->is_floating_point() ? torch::kDouble : value->scalar_type();
  return {value->to(type).reshape({}).expand(extents)};
}

Tensors range(const Call& call) {
  const double begin = call.at(0).item<double>(), step = call.at(2).item<double>();
  const double count = std::max(0.0, std::ceil((call.at(1).item<double>() - begin) / step));
  if (!(count <= static_cast<double>(kMostComputed))) call.node.refuse("is a range without an end");
  const Tensor numbers = torch::arange(static_cast<std::int64_t>(count), torch::kDouble);
  return {(numbers * step + begin).to(call.at(0).scalar_type())};
}

Tensors cast(const Call& call) {
  const std::int64_t type = call.node.integer("to", 0);
  if (type == onnx::TensorProto::FLOAT || type == onnx::TensorProto::DOUBLE)
    return {call.at(0).to(torch::kDouble)};
  if (type == onnx::TensorProto::INT64 || type == onnx::TensorProto::INT32)
    return {call.at(0).to(torch::kLong)};
  if (type == onnx::TensorProto::BOOL) return {call.at(0).to(torch::kBool)};
  call.node.refuse("makes numbers of a type that is not trained: export a float32 model");
}

/// Queries, keys and values by heads, [N, heads, positions, depth].
Tensors attention(const Call& call) {
  const NodeReader& node = call.node;
  const Tensor &q = call.at(0), &k = call.at(1), &v = call.at(2);
  const bool is_plain = q.dim() == 4 && k.sizes() == q.sizes() && call.inputs.size() == 3 &&
                        node.number("softcap", 0) == 0;
  if (!is_plain) node.refuse("has a mask, a cache, a cap or groups of heads: leave them out");
  require_room(call, {q.size(0), q.size(1), q.size(2), k.size(2)});
  const double root = std::sqrt(static_cast<double>(q.size(3)));
  Tensor scores = at::matmul(q, k.transpose(2, 3)) * node.number("scale", 1 / root);
  if (node.integer("is_causal", 0) != 0) {
    const Tensor later = torch::ones({q.size(2), k.size(2)}, torch::kBool).triu(1);
    scores = scores.masked_fill(later, -std::numeric_limits<double>::infinity());
  }
  return {at::matmul(scores.softmax(-1), v)};
}

/// As in evaluation.
Tensors dropout(const Call& call) { return {call.at(0)}; }

std::map<std::string, Operation> arithmetic() {
  return {{"Add", of_two(add)},
          {"Sub", of_two(subtract)},
          {"Mul", of_two(at::mul)},
          {"Div", of_two(quotient)},
          {"Pow", of_two(power)},
          {"Equal", of_two(at::eq)},
          {"Less", of_two(at::lt)},
          {"LessOrEqual", of_two(at::le)},
          {"Greater", of_two(at::gt)},
          {"GreaterOrEqual", of_two(at::ge)},
          {"And", of_two(at::logical_and)},
          {"Or", of_two(at::logical_or)},
          {"Not", of_one(at::logical_not)},
          {"Neg", of_one(at::neg)},
          {"Sqrt", of_one(at::sqrt)},
          {"Reciprocal", of_one(at::reciprocal)},
          {"Erf", of_one(at::erf)},
          {"Exp", of_one(at::exp)},
          {"Tanh", of_one(at::tanh)},
          {"Sigmoid", of_one(at::sigmoid)},
          {"IsNaN", of_one(at::isnan)},
          {"Identity", [](const Call& call) -> Tensors { return {call.at(0)}; }}};
}

}  // namespace

const std::map<std::string, Operation>& operations() {
  static const std::map<std::string, Operation> all = [] {
    std::map<std::string, Operation> made = {
        {"ReduceMean", mean},
        {"Softmax", softmax},
        {"MatMul", product},
        {"Reshape", reshape},
        {"Transpose", transpose},
        {"Squeeze", squeeze},
        {"Split", split},
        {"Unsqueeze", unsqueeze},
        {"Slice", slice},
        {"Gather", gather},
        {"Concat", concat},
        {"Shape", shape},
        {"Where", where},
        {"Trilu", triangle},
        {"Expand", expanded},
        {"Range", range},
        {"ConstantOfShape", constant_of_shape},
        {"Cast", cast},
        {"CastLike",
         [](const Call& call) -> Tensors { return {call.at(0).to(call.at(1).scalar_type())}; }},
        {"SplitToSequence", split_to_sequence},
        {"SequenceAt", part_of_sequence},
        {"Attention", attention},
        {"Dropout", dropout},
        {"LSTM", run_lstm}};
    made.merge(arithmetic());
    return made;
  }();
  return all;
}

}  // namespace millrace::onnx_import
