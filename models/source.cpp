#include "models/source.hpp"

#include <fmt/format.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>

#include "millrace/errors.hpp"
#include "models/onnx/import.hpp"
#include "models/zoo/zoo.hpp"

namespace millrace {
namespace {

/// The layer with `classes` outputs, drawn afresh; empty where it is of another type.
torch::nn::AnyModule fresh_head(const torch::nn::Module& old, std::int64_t classes) {
  namespace nn = torch::nn;
  if (const auto* linear = old.as<nn::LinearImpl>()) {
    auto options = linear->options;
    return nn::AnyModule(nn::Linear(options.out_features(classes)));
  }
  const auto* conv = old.as<nn::Conv2dImpl>();
  if (conv == nullptr || classes % conv->options.groups() != 0) return {};
  const auto& options = conv->options;
  return nn::AnyModule(
      nn::Conv2d(nn::Conv2dOptions(options.in_channels(), classes, options.kernel_size())
                     .stride(options.stride())
                     .padding(*c10::get_if<torch::ExpandingArray<2>>(&options.padding()))
                     .dilation(options.dilation())
                     .groups(options.groups())
                     .bias(options.bias())));
}

/// For `vocabulary` tokens.
void renew_embedding(Model& model, std::int64_t vocabulary) {
  namespace nn = torch::nn;
  for (Layer& layer : model.layers) {
    const auto* old = layer.module.ptr()->as<nn::EmbeddingImpl>();
    if (old == nullptr) continue;
    layer.module = nn::AnyModule(nn::Embedding(vocabulary, old->options.embedding_dim()));
  }
  model.vocabulary = vocabulary;
}

/// The last layer with weights is drawn afresh, and what stands for tokens, which are others.
Model with_new_head(Model model, const std::string& file, std::int64_t classes) {
  const auto head = std::find_if(
      model.layers.rbegin(), model.layers.rend(),
      [](const Layer& layer) { return !layer.module.ptr()->named_parameters().is_empty(); });
  torch::nn::AnyModule fresh;
  if (head != model.layers.rend()) fresh = fresh_head(*head->module.ptr(), classes);
  if (fresh.is_empty()) {
    throw ConfigError("onnx", file +
                                  ": its last layer with weights has no new head with that many "
                                  "outputs: give data with as many "
                                  "classes as it has outputs");
  }
  if (model.vocabulary > 0) renew_embedding(model, classes);
  head->module = fresh;
  model.classes = classes;
  return model;
}

Model from_file(const std::string& file, std::int64_t classes, NewHead head) {
  Model model = import_onnx(file);
  if (classes == 0) classes = model.classes;
  const bool fits = classes == model.classes;
  if (head == NewHead::always || (head == NewHead::where_needed && !fits))
    return with_new_head(std::move(model), file, classes);
  if (fits) return model;
  throw ConfigError("onnx", fmt::format("{} has {} outputs, the data have {} classes: start the "
                                        "last layer afresh with --new-head",
                                        file, model.classes, classes));
}

}  // namespace

std::vector<std::int64_t> sample_shape_of(const std::string& source) {
  return is_model_file(source) ? onnx_sample_shape(source) : model_info(source).sample_shape;
}

bool source_reads_text(const std::string& source) {
  return is_model_file(source) ? onnx_reads_ids(source) : reads_text(source);
}

Model open_model(const std::string& source, std::int64_t classes, std::uint64_t seed,
                 NewHead head) {
  if (!is_model_file(source)) return make_model(source, classes, seed);
  return make_seeded(seed, [&] { return from_file(source, classes, head); });
}

}  // namespace millrace
