#include "models/onnx/evaluation.hpp"

#include <ATen/Functions.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <stdexcept>

#include "millrace/errors.hpp"

namespace millrace::onnx_import {
namespace {

constexpr int kDeepestChain = 256;  // nodes one after another

torch::Tensor doubled(const torch::Tensor& tensor) {
  return tensor.is_floating_point() ? tensor.to(torch::kDouble) : tensor;
}

std::vector<torch::Tensor> outputs_of(const Call& call, const Operation& operation) try {
  return operation(call);
} catch (const ConfigError&) {
  throw;
} catch (const c10::Error& error) {
  call.node.refuse(std::string("cannot be computed: ") + error.what_without_backtrace());
} catch (const std::runtime_error& error) {  // LibTorch's of a shape that does not fit
  call.node.refuse(std::string("cannot be computed: ") + error.what());
}

}  // namespace

Makers makers_in(const onnx::GraphProto& graph) {
  Makers makers;
  for (const auto& node : graph.node())
    if (node.op_type() != "Constant" && is_onnx(node))
      for (const std::string& output : node.output())
        if (!output.empty()) makers.try_emplace(output, &node);
  return makers;
}

const torch::Tensor& Evaluation::computed(const std::string& name) {
  const auto known = values_.find(name);
  if (known != values_.end()) return known->second;
  const auto maker = makers_.find(name);
  if (maker != makers_.end()) {
    run(*maker->second);
    const auto made = values_.find(name);
    if (made != values_.end()) return made->second;
    refuse(file_.path, fmt::format("'{}' is an output of '{}' that is not computed", name,
                                   maker->second->name()));
  }
  if (!constants_.contains(name))
    refuse(file_.path, fmt::format("'{}' is not computed from constants alone", name));
  return values_[name] = doubled(constants_.value(name));
}

/// Of a value that is not computed Shape needs the extents alone.
torch::Tensor Evaluation::input(const onnx::NodeProto& node, const std::string& name) {
  if (name.empty()) return {};
  if (node.op_type() == "Shape" && !values_.contains(name)) {
    if (const auto extents = extents_(name)) return torch::zeros({}).expand(*extents);
  }
  return computed(name);
}

Call Evaluation::call(const NodeReader& node) {
  Call call{file_, node, {}};
  for (const std::string& name : node.proto().input())
    call.inputs.push_back(input(node.proto(), name));
  return call;
}

void Evaluation::run(const onnx::NodeProto& proto) {
  const NodeReader node(proto, constants_, file_.path);
  const auto operation = operations().find(proto.op_type());
  if (operation == operations().end()) node.refuse("is no operator that is computed");
  if (depth_ == kDeepestChain)
    node.refuse(fmt::format("stands behind {} nodes that compute one value", kDeepestChain));
  ++depth_;
  const std::vector<torch::Tensor> made = outputs_of(call(node), operation->second);
  --depth_;
  for (int i = 0; i < proto.output_size() && i < static_cast<int>(made.size()); ++i)
    values_[proto.output(i)] = made[static_cast<std::size_t>(i)];
}

}  // namespace millrace::onnx_import
