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

using NamedTensors = torch::OrderedDict<std::string, at::Tensor>;

/// The copy's tensors get the model's memory: what a checkpoint brings back reaches every copy.
std::vector<at::Tensor> share_tensors(const NamedTensors& copies, const NamedTensors& originals) {
  std::vector<at::Tensor> shared;
  for (const auto& copy : copies) {
    at::Tensor tensor = copy.value();
    tensor.set_data(originals[copy.key()].detach());
    shared.push_back(tensor);
  }
  return shared;
}

/// Any module: a copy that shares the parameters and buffers, with autograd within this layer
/// alone. The graph hangs on the saved output, so it lives as long as `saved`.
class ModuleOp final : public OpBase {
 public:
  explicit ModuleOp(const Layer& layer)
      : OpBase(OutputUse::kept, Parameters(layer.name, *layer.module.ptr())),
        module_(clone_of(layer)) {
    const auto copy = module_.ptr(), original = layer.module.ptr();
    leaves_ = share_tensors(copy->named_parameters(), original->named_parameters());
    share_tensors(copy->named_buffers(), original->named_buffers());
  }

  at::Tensor forward(at::TensorList xs, const DrawKey&, bool training, Saved* saved,
                     bool) override {
    module_.ptr()->train(training);
    const at::AutoGradMode with_graph(saved != nullptr);
    Saved kept;
    for (const at::Tensor& x : xs)
      kept.push_back(x.detach().requires_grad_(saved != nullptr && x.is_floating_point()));
    const at::Tensor y = call(kept);
    kept.push_back(y);
    if (saved) *saved = std::move(kept);
    return y.detach();
  }

  std::vector<at::Tensor> backward(const at::Tensor& dy, Saved& saved,
                                   const std::vector<bool>& input_gradients) override {
    const Saved kept = std::move(saved);
    saved.clear();
    torch::autograd::variable_list wanted = leaves_;
    for (std::size_t i = 0; i < input_gradients.size(); ++i)
      if (input_gradients[i]) wanted.push_back(kept[i]);
    std::vector<at::Tensor> result(input_gradients.size());
    if (wanted.empty()) return result;
    const auto gradients =
        torch::autograd::grad({kept.back()}, wanted, {dy}, /*retain_graph=*/false,
                              /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < leaves_.size(); ++i)
      if (gradients[i].defined()) parameters_.add(i, own_leaf(gradients, i, dy));
    auto next = gradients.begin() + static_cast<std::ptrdiff_t>(leaves_.size());
    for (std::size_t i = 0; i < input_gradients.size(); ++i)
      if (input_gradients[i]) result[i] = own_gradient(*next++, kept[i]);
    return result;
  }

 private:
  /// On copies: the module may work in place.
  at::Tensor call(const Saved& inputs) {
    if (inputs.size() == 1) return module_.forward(inputs[0].clone());
    std::vector<at::Tensor> copies;
    for (const at::Tensor& input : inputs) copies.push_back(input.clone());
    return module_.forward(std::move(copies));
  }

  /// The gradient of parameter i, which nobody may write over: a sum hands one on to all.
  static at::Tensor own_leaf(const torch::autograd::variable_list& gradients, std::size_t i,
                             const at::Tensor& dy) {
    bool shared = gradients[i].is_alias_of(dy);
    for (std::size_t j = 0; j < gradients.size(); ++j)
      shared =
          shared || (j != i && gradients[j].defined() && gradients[j].is_alias_of(gradients[i]));
    return shared ? gradients[i].clone() : gradients[i];
  }

  /// Whoever gets it may write to it.
  static at::Tensor own_gradient(const at::Tensor& dx, const at::Tensor& x) {
    if (!dx.defined()) return at::zeros_like(x);
    return dx.is_non_overlapping_and_dense() ? dx : dx.contiguous();
  }

  torch::nn::AnyModule module_;
  std::vector<at::Tensor> leaves_;
};

}  // namespace

std::unique_ptr<LayerOp> make_module_op(const Layer& layer) {
  return std::make_unique<ModuleOp>(layer);
}

}  // namespace millrace
