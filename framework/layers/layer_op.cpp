#include "framework/layers/layer_op.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "framework/layers/caching_allocator.hpp"
#include "framework/layers/ops.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

struct Candidate {
  const char* implementation;
  OpMaker make;
  bool (*serves)(const Layer&, const LayerFacts&) = [](const Layer&, const LayerFacts&) {
    return true;
  };
};

bool has_channels(const Layer&, const LayerFacts& facts) { return is_image(facts); }

bool has_bf16(const Layer&, const LayerFacts&) { return kernels::has_bf16_products(); }

bool has_winograd_bf16(const Layer& layer, const LayerFacts& facts) {
  return kernels::has_bf16_products() && has_winograd(layer, facts);
}

/// By the layer's type, LibTorch's own operator first.
const std::map<std::string, std::vector<Candidate>>& candidates() {
  static const std::map<std::string, std::vector<Candidate>> all = {
      {"conv2d",
       {{kContiguous, make_conv_op},
        {kChannelsLast, make_conv_op},
        {kDirect, make_direct_op, has_direct},
        {kWinograd, make_winograd_op, has_winograd},
        {kWinogradBf16, make_winograd_op, has_winograd_bf16}}},
      {"linear",
       {{kContiguous, make_linear_op},
        {kOwn, make_own_linear_op},
        {kOwnBf16, make_own_linear_op, has_bf16}}},
      {"relu", {{kContiguous, make_relu_op}}},
      {"relu6", {{kContiguous, make_relu6_op}}},
      {"max_pool2d",
       {{kContiguous, make_max_pool_op},
        {kChannelsLast, make_max_pool_op, has_channels},
        {kOwn, make_own_max_pool_op, has_own_max_pool}}},
      {"avg_pool2d",
       {{kContiguous, make_avg_pool_op}, {kChannelsLast, make_avg_pool_op, has_channels}}},
      {"adaptive_avg_pool2d",
       {{kContiguous, make_adaptive_pool_op},
        {kChannelsLast, make_adaptive_pool_op, has_channels}}},
      {"dropout", {{kContiguous, make_dropout_op}}},
      {"flatten", {{kContiguous, make_flatten_op}}},
      {"identity", {{kContiguous, make_identity_op}}},
      {"batch_norm", {{kOwn, make_batch_norm_op}}},
      {"add", {{kContiguous, make_add_op}}},
      {"concat", {{kContiguous, make_concat_op}}},
      {"embedding", {{kContiguous, make_embedding_op}}},
      {"place_embedding", {{kContiguous, make_place_embedding_op}}},
      {"layer_norm", {{kContiguous, make_layer_norm_op}}},
      {"gelu", {{kContiguous, make_gelu_op}}},
      {"attention", {{kContiguous, make_attention_op}}},
  };
  return all;
}

/// Those that serve the layer; none: it runs as a module.
std::vector<Candidate> candidates_of(const Layer& layer, const LayerFacts& facts) {
  std::vector<Candidate> result;
  const auto found = candidates().find(facts.type);
  if (found == candidates().end()) return result;
  std::copy_if(found->second.begin(), found->second.end(), std::back_inserter(result),
               [&](const Candidate& candidate) { return candidate.serves(layer, facts); });
  return result;
}

double elements(const std::vector<std::int64_t>& shape) {
  return static_cast<double>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
}

const LayerFacts* producer(const std::vector<LayerFacts>& layers, std::size_t l, std::size_t i) {
  const std::vector<int>& producers = layers[l].producers;
  if (i >= producers.size() || producers[i] == kSample) return nullptr;
  return &layers[static_cast<std::size_t>(producers[i])];
}

double input_elements(const std::vector<LayerFacts>& layers, std::size_t l) {
  double sum = elements(layers[l].input_shape);
  for (std::size_t i = 1; i < layers[l].producers.size(); ++i)
    if (const LayerFacts* from = producer(layers, l, i)) sum += elements(from->output_shape);
  return sum;
}

/// As fusions() has it.
bool follows_batch_norm(const std::vector<LayerFacts>& layers, std::size_t l) {
  const LayerFacts* const before = producer(layers, l, 0);
  return before && before->type == "batch_norm" && before->uses() == 1;
}

/// Some layer that reads the output keeps it.
bool input_is_kept(const std::vector<LayerFacts>& layers, std::size_t l) {
  static const std::set<std::string> drop = {"add",   "concat",  "relu",
                                             "relu6", "dropout", "place_embedding"};
  for (const int reader : layers[l].readers) {
    const auto r = static_cast<std::size_t>(reader);
    const bool view = layers[r].type == "flatten" || layers[r].type == "identity";
    if (view ? input_is_kept(layers, r) : !drop.contains(layers[r].type)) return true;
  }
  return layers[l].readers.empty() || layers[l].auxiliary_weight > 0;  // the loss has it
}

}  // namespace

bool is_image(const LayerFacts& facts) { return facts.input_shape.size() == 3; }

at::MemoryFormat layout_of(const std::string& implementation) {
  return implementation == kContiguous ? at::MemoryFormat::Contiguous
                                       : at::MemoryFormat::ChannelsLast;
}

bool is_own_linear(const std::string& implementation) {
  return implementation == kOwn || implementation == kOwnBf16;
}

std::vector<std::string> implementations_of(const Layer& layer, const LayerFacts& facts) {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates_of(layer, facts))
    names.emplace_back(candidate.implementation);
  return names.empty() ? std::vector<std::string>{kContiguous} : names;
}

std::unique_ptr<LayerOp> make_layer_op(const Layer& layer, const LayerFacts& facts, int layer_index,
                                       const std::string& implementation, const Fusion& fusion,
                                       Replicas* replicas) {
  install_caching_allocator();
  const std::vector<std::string> known = implementations_of(layer, facts);
  const std::string& name = implementation.empty() ? known.front() : implementation;
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw ConfigError("layers",
                      fmt::format("layer {} ({}) has no implementation \"{}\"{}: choose of {}",
                                  layer.name, facts.type, name,
                                  is_bf16(name) ? " on a CPU that does not multiply bfloat16" : "",
                                  fmt::join(known, ", ")));
  for (const Candidate& candidate : candidates_of(layer, facts)) {
    if (candidate.implementation != name) continue;
    const auto precision = is_bf16(name) ? kernels::Precision::bf16 : kernels::Precision::fp32;
    const OpRequest request{layer,     facts,  layer_index, layout_of(name),
                            precision, fusion, replicas};
    if (auto op = candidate.make(request)) return op;
  }
  return make_module_op(layer);
}

bool can_split_features(const LayerFacts& facts) {
  return facts.input_shape.size() == 1 &&
         (facts.type == "linear" || facts.type == "relu" || facts.type == "dropout");
}

double deferred_bytes_per_sample(const LayerFacts& facts, const std::string& implementation) {
  const bool deferred = facts.type == "linear" && is_own_linear(implementation);
  return deferred ? 4 * (elements(facts.input_shape) + elements(facts.output_shape)) : 0;
}

double weight_gradient_bytes_per_sample(const LayerFacts& facts,
                                        const std::string& implementation) {
  const bool two_parts =
      facts.type == "conv2d" || (facts.type == "linear" && !is_own_linear(implementation));
  return two_parts ? 4 * (elements(facts.input_shape) + elements(facts.output_shape)) : 0;
}

double saved_bytes_per_sample(const std::vector<LayerFacts>& layers, std::size_t l,
                              const std::string& implementation) {
  const LayerFacts& facts = layers[l];
  if (deferred_bytes_per_sample(facts, implementation) > 0) return 0;
  const double x = elements(facts.input_shape), y = elements(facts.output_shape);
  static const std::set<std::string> keep_nothing = {"flatten", "identity", "add", "concat",
                                                     "place_embedding"};
  if (keep_nothing.contains(facts.type)) return 0;
  if (facts.type == "relu")
    return follows_batch_norm(layers, l) || input_is_kept(layers, l) ? 0 : 4 * y;
  if (facts.type == "relu6") return follows_batch_norm(layers, l) ? 0 : 4 * (x + y);
  if (facts.type == "dropout") return x;
  if (facts.type == "max_pool2d") return implementation == kOwn ? y : 4 * x + 8 * y;
  if (facts.type == "module") return 4 * (input_elements(layers, l) + y);
  if (facts.type == "embedding") return 8 * x;
  if (facts.type == "layer_norm") return 4 * (x + 2 * x / double(facts.input_shape.back()));
  if (facts.type == "attention") return 4 * (x + facts.inner_elements);
  if (facts.type == "lstm") return 4 * (x + y + facts.inner_elements);
  return 4 * x;
}

}  // namespace millrace
