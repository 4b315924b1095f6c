#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>
#include <torch/autograd.h>

#include "framework/layers/ops.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

torch::nn::AnyModule clone_of(const Layer& layer) {
  try {
    return layer.module.clone();
  } catch (const c10::Error&) {
    throw ConfigError(
        "layers",
        fmt::format("layer {}: its module {} cannot be copied, each worker needs one: derive it "
                    "from torch::nn::Cloneable and make its members in reset()",
                    layer.name, layer.module.ptr()->name()));
  }
}

/// Any module: a copy that shares the weights, with autograd within this layer alone. The graph
/// hangs on the saved output, so it lives as long as `saved`.
class ModuleOp final : public OpBase {
 public:
  explicit ModuleOp(const Layer& layer)
      : OpBase(OutputUse::kept, Parameters(layer.name, *layer.module.ptr())),
        module_(clone_of(layer)) {
    const auto own = module_.ptr()->named_parameters();
    const auto shared = layer.module.ptr()->named_parameters();
    for (const auto& parameter : own) {
      at::Tensor leaf = parameter.value();
      leaf.set_data(shared[parameter.key()].detach());
      leaves_.push_back(leaf);
    }
  }

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool training, Saved* saved,
                     bool) override {
    module_.ptr()->train(training);
    const at::AutoGradMode with_graph(saved != nullptr);
    const at::Tensor leaf = x.detach().requires_grad_(saved != nullptr && x.is_floating_point());
    const at::Tensor y = module_.forward(leaf.clone());  // the module may work in place
    if (saved) *saved = {leaf, y};
    return y.detach();
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const Saved kept = std::move(saved);
    saved.clear();
    torch::autograd::variable_list wanted = leaves_;
    if (input_gradient) wanted.push_back(kept[0]);
    if (wanted.empty()) return {};
    const auto gradients = torch::autograd::grad({kept[1]}, wanted, {dy}, /*retain_graph=*/false,
                                                 /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < leaves_.size(); ++i)
      if (gradients[i].defined()) parameters_.add(i, gradients[i]);
    if (!input_gradient) return {};
    const at::Tensor& dx = gradients.back();
    if (!dx.defined()) return at::zeros_like(kept[0]);
    return dx.is_non_overlapping_and_dense() ? dx : dx.contiguous();  // who gets it writes to it
  }

 private:
  torch::nn::AnyModule module_;
  std::vector<at::Tensor> leaves_;
};

}  // namespace

std::unique_ptr<LayerOp> make_module_op(const Layer& layer) {
  return std::make_unique<ModuleOp>(layer);
}

}  // namespace millrace
