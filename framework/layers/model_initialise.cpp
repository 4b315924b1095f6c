// initialise and make_seeded of millrace/model.hpp.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/functional/instancenorm.h>  // instancenorm.h of modules needs it before
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>

#include <mutex>

#include "millrace/log.hpp"
#include "millrace/model.hpp"
#include "millrace/sequence.hpp"

namespace millrace {
namespace {

namespace nn = torch::nn;

/// Seeds LibTorch's default generator for the scope's life; the caller's state comes back.
class SeededGenerator {
 public:
  explicit SeededGenerator(std::uint64_t seed) : generator_(at::detail::getDefaultCPUGenerator()) {
    const std::scoped_lock lock(generator_.mutex());
    state_ = generator_.get_state();
    generator_.set_current_seed(seed);
  }
  ~SeededGenerator() {
    const std::scoped_lock lock(generator_.mutex());
    generator_.set_state(state_);
  }
  SeededGenerator(const SeededGenerator&) = delete;
  SeededGenerator& operator=(const SeededGenerator&) = delete;

 private:
  at::Generator generator_;
  at::Tensor state_;
};

template <typename Type>
bool reset_as(nn::Module& module) {
  auto* typed = module.as<Type>();
  if (typed) typed->reset_parameters();
  return typed != nullptr;
}

template <typename... Types>
bool reset_as_any(nn::Module& module) {
  return (... || reset_as<Types>(module));
}

/// False: the type has no reset_parameters() that is known here.
bool reset(nn::Module& module) {
  return reset_as_any<nn::Conv1dImpl, nn::Conv2dImpl, nn::Conv3dImpl, nn::ConvTranspose1dImpl,
                      nn::ConvTranspose2dImpl, nn::ConvTranspose3dImpl, nn::LinearImpl,
                      nn::BilinearImpl, nn::EmbeddingImpl, nn::EmbeddingBagImpl, nn::LayerNormImpl,
                      nn::GroupNormImpl, nn::BatchNorm1dImpl, nn::BatchNorm2dImpl,
                      nn::BatchNorm3dImpl, nn::InstanceNorm1dImpl, nn::InstanceNorm2dImpl,
                      nn::InstanceNorm3dImpl, nn::RNNImpl, nn::LSTMImpl, nn::GRUImpl,
                      PlaceEmbeddingImpl>(module);
}

void reset_tree(nn::Module& module, const std::string& name) {
  if (reset(module)) return;
  if (!module.parameters(/*recurse=*/false).empty()) {
    log_warning("model", "'" + name + "' (" + module.name() +
                             ") has weights of its own kind: they keep the values they have");
  }
  for (const auto& child : module.named_children()) {
    reset_tree(*child.value(), name + "." + child.key());
  }
}

}  // namespace

void initialise(const Model& model, std::uint64_t seed) {
  const SeededGenerator seeded(seed);
  for (const Layer& layer : model.layers) reset_tree(*layer.module.ptr(), layer.name);
}

Model make_seeded(std::uint64_t seed, const std::function<Model()>& build) {
  const SeededGenerator seeded(seed);
  return build();
}

}  // namespace millrace
