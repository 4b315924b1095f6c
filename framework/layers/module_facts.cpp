#include "framework/layers/module_facts.hpp"

#include <torch/nn/functional/instancenorm.h>  // instancenorm.h of modules needs it before
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/pooling.h>
#include <torch/nn/modules/rnn.h>

#include <functional>
#include <numeric>

#include "millrace/joins.hpp"
#include "millrace/sequence.hpp"

namespace millrace {
namespace {

namespace nn = torch::nn;

template <typename... Types>
bool is_any(const nn::Module& module) {
  return (... || (module.as<Types>() != nullptr));
}

template <typename... Types>
bool is_in_place(const nn::Module& module) {
  const auto inplace = [](const auto* typed) { return typed && typed->options.inplace(); };
  return (... || inplace(module.as<Types>()));
}

bool keeps_running_statistics(const nn::Module& module) {
  const auto* norm1 = module.as<nn::InstanceNorm1dImpl>();
  const auto* norm2 = module.as<nn::InstanceNorm2dImpl>();
  const auto* norm3 = module.as<nn::InstanceNorm3dImpl>();
  return (norm1 && norm1->options.track_running_stats()) ||
         (norm2 && norm2->options.track_running_stats()) ||
         (norm3 && norm3->options.track_running_stats());
}

template <typename BatchNorm>
bool is_plain_batch_norm(const nn::Module& module) {
  const auto* norm = module.as<BatchNorm>();
  return norm && norm->options.affine() && norm->options.track_running_stats() &&
         norm->options.momentum().has_value();
}

std::string refusal_of_batch_norm(const nn::Module& module, bool nested) {
  if (!is_any<nn::BatchNorm1dImpl, nn::BatchNorm2dImpl, nn::BatchNorm3dImpl>(module)) return "";
  if (nested) {
    return "batch normalisation inside another module sees only the samples of one replica: add it "
           "to the model as a layer of its own";
  }
  if (is_plain_batch_norm<nn::BatchNorm1dImpl>(module) ||
      is_plain_batch_norm<nn::BatchNorm2dImpl>(module)) {
    return "";
  }
  return "batch normalisation is trained as BatchNorm1d or BatchNorm2d with weight, bias, running "
         "statistics and a momentum: make it so";
}

template <typename... Types>
bool drops_between_layers(const nn::Module& module) {
  const auto drops = [](const auto* typed) {
    return typed && typed->options_base.dropout() > 0 && typed->options_base.num_layers() > 1;
  };
  return (... || drops(module.as<Types>()));
}

/// Random draws that do not go by sample and layer.
std::string refusal_of_draws(const nn::Module& module, bool nested) {
  if (is_any<nn::Dropout2dImpl, nn::Dropout3dImpl, nn::AlphaDropoutImpl,
             nn::FeatureAlphaDropoutImpl, nn::RReLUImpl, nn::FractionalMaxPool2dImpl,
             nn::FractionalMaxPool3dImpl>(module)) {
    return "its random draws would depend on the plan: use torch::nn::Dropout as a layer of its "
           "own, whose masks are the same under every plan";
  }
  if (nested && module.as<nn::DropoutImpl>()) {
    return "dropout inside another module draws differently under every plan: add it to the model "
           "as a layer of its own";
  }
  if (drops_between_layers<nn::RNNImpl, nn::LSTMImpl, nn::GRUImpl>(module)) {
    return "dropout between its recurrent layers draws differently under every plan: make modules "
           "of one recurrent layer each, with torch::nn::Dropout as a layer of the model between "
           "them";
  }
  const auto* attention = module.as<nn::MultiheadAttentionImpl>();
  if (attention && attention->options.dropout() > 0) {
    return "dropout of its attention weights draws differently under every plan: set dropout(0)";
  }
  return "";
}

template <typename Type>
std::string refusal_of_embedding(const nn::Module& module) {
  const auto* embedding = module.as<Type>();
  if (!embedding) return "";
  if (embedding->options.max_norm()) {
    return "max_norm writes to the weights in the forward pass, where other workers read them: "
           "leave it out";
  }
  if (embedding->options.scale_grad_by_freq()) {
    return "scale_grad_by_freq counts the ids of a micro-batch, which a plan changes: set "
           "scale_grad_by_freq(false)";
  }
  if (embedding->options.sparse())
    return "the gradients that workers add up are dense: set sparse(false)";
  return "";
}

std::string refusal_of_one(const nn::Module& module, bool nested) {
  if (keeps_running_statistics(module)) {
    return "running statistics depend on the order of the micro-batches, which a plan changes: "
           "set track_running_stats(false)";
  }
  for (const std::string& reason :
       {refusal_of_batch_norm(module, nested), refusal_of_draws(module, nested),
        refusal_of_embedding<nn::EmbeddingImpl>(module),
        refusal_of_embedding<nn::EmbeddingBagImpl>(module)}) {
    if (!reason.empty()) return reason;
  }
  return "";
}

double elements(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), 1.0, std::multiplies<>());
}

}  // namespace

std::string module_type(const nn::Module& module) {
  if (module.as<nn::Conv2dImpl>()) return "conv2d";
  if (module.as<nn::LinearImpl>()) return "linear";
  if (module.as<nn::ReLUImpl>()) return "relu";
  if (module.as<nn::ReLU6Impl>()) return "relu6";
  if (module.as<nn::MaxPool2dImpl>()) return "max_pool2d";
  if (module.as<nn::AvgPool2dImpl>()) return "avg_pool2d";
  if (module.as<nn::AdaptiveAvgPool2dImpl>()) return "adaptive_avg_pool2d";
  if (module.as<nn::DropoutImpl>()) return "dropout";
  if (module.as<nn::FlattenImpl>()) return "flatten";
  if (module.as<nn::IdentityImpl>()) return "identity";
  if (is_any<nn::BatchNorm1dImpl, nn::BatchNorm2dImpl>(module)) return "batch_norm";
  if (module.as<AddImpl>()) return "add";
  if (module.as<ConcatImpl>()) return "concat";
  if (module.as<nn::EmbeddingImpl>()) return "embedding";
  if (module.as<nn::LayerNormImpl>()) return "layer_norm";
  if (module.as<nn::GELUImpl>()) return "gelu";
  if (module.as<PlaceEmbeddingImpl>()) return "place_embedding";
  if (module.as<CausalAttentionImpl>()) return "attention";
  if (module.as<SequenceLSTMImpl>()) return "lstm";
  return "module";
}

bool works_in_place(const nn::Module& module) {
  return is_in_place<nn::ReLUImpl, nn::ReLU6Impl, nn::DropoutImpl, nn::LeakyReLUImpl, nn::ELUImpl,
                     nn::SELUImpl, nn::CELUImpl, nn::HardtanhImpl, nn::ThresholdImpl>(module);
}

bool is_join(const nn::Module& module) { return is_any<AddImpl, ConcatImpl>(module); }

std::string reason_to_refuse(const nn::Module& module) {
  std::string reason = refusal_of_one(module, false);
  for (const auto& child : module.modules(/*include_self=*/false)) {
    if (reason.empty()) reason = refusal_of_one(*child, true);
  }
  return reason;
}

std::string unmet_input(const nn::Module& module, const std::vector<std::int64_t>& input) {
  if (const auto* conv = module.as<nn::Conv2dImpl>()) {
    const auto channels = conv->options.in_channels();
    if (input.size() != 3 || input[0] != channels) {
      return std::to_string(channels) + " channels (C x H x W)";
    }
  }
  if (const auto* norm = module.as<nn::BatchNorm2dImpl>()) {
    const auto channels = norm->options.num_features();
    if (input.size() != 3 || input[0] != channels)
      return std::to_string(channels) + " channels (C x H x W)";
  }
  if (const auto* norm = module.as<nn::BatchNorm1dImpl>()) {
    const auto features = norm->options.num_features();
    if (input.size() != 1 || input[0] != features)
      return "rows of " + std::to_string(features) + " features";
  }
  if (const auto* linear = module.as<nn::LinearImpl>()) {
    const auto features = linear->options.in_features();
    if (input.empty() || input.back() != features) return std::to_string(features) + " features";
  }
  return "";
}

double forward_flops(const nn::Module& module, const std::vector<std::int64_t>& output) {
  if (const auto* conv = module.as<nn::Conv2dImpl>()) {
    const auto& options = conv->options;
    const double fan_in = static_cast<double>(options.in_channels()) /
                          static_cast<double>(options.groups()) *
                          static_cast<double>(options.kernel_size()->at(0)) *
                          static_cast<double>(options.kernel_size()->at(1));
    return 2 * fan_in * elements(output);
  }
  if (const auto* linear = module.as<nn::LinearImpl>()) {
    return 2 * static_cast<double>(linear->options.in_features()) * elements(output);
  }
  if (module.as<CausalAttentionImpl>())  // queries by keys, weights by values
    return 4 * static_cast<double>(output.front()) * elements(output);
  if (const auto* lstm = module.as<SequenceLSTMImpl>()) {
    const auto& options = lstm->options_base;
    return 8 * static_cast<double>(options.input_size() + options.hidden_size()) * elements(output);
  }
  return 0;
}

double inner_elements(const nn::Module& module, const std::vector<std::int64_t>& output) {
  if (const auto* attention = module.as<CausalAttentionImpl>())
    return static_cast<double>(attention->heads() * output.front() * output.front());
  if (module.as<SequenceLSTMImpl>()) return 12 * elements(output);
  return 0;
}

}  // namespace millrace
