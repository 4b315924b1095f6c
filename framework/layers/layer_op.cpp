#include "framework/layers/layer_op.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "framework/layers/caching_allocator.hpp"
#include "framework/layers/ops.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

const std::map<std::string, OpMaker>& makers() {
  static const std::map<std::string, OpMaker> all = {
      {"conv2d", make_conv_op},         {"linear", make_linear_op},
      {"relu", make_relu_op},           {"max_pool2d", make_max_pool_op},
      {"avg_pool2d", make_avg_pool_op}, {"adaptive_avg_pool2d", make_adaptive_pool_op},
      {"dropout", make_dropout_op},     {"flatten", make_flatten_op},
      {"identity", make_identity_op},
  };
  return all;
}

/// Of kOwn.
const std::map<std::string, OpMaker>& own_makers() {
  static const std::map<std::string, OpMaker> all = {{"linear", make_own_linear_op}};
  return all;
}

bool has_layouts(const LayerFacts& facts) {
  return facts.type == "conv2d" || facts.type.ends_with("pool2d");
}

double elements(const std::vector<std::int64_t>& shape) {
  return static_cast<double>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
}

}  // namespace

at::MemoryFormat layout_of(const std::string& implementation) {
  return implementation == kChannelsLast ? at::MemoryFormat::ChannelsLast
                                         : at::MemoryFormat::Contiguous;
}

at::Tensor in_layout_of(const std::string& implementation, const at::Tensor& x) {
  return x.dim() == 4 ? x.contiguous(layout_of(implementation)) : x.contiguous();
}

std::vector<std::string> implementations_of(const LayerFacts& facts) {
  std::vector<std::string> names = {kContiguous};
  if (has_layouts(facts)) names.push_back(kChannelsLast);
  if (own_makers().contains(facts.type)) names.push_back(kOwn);
  return names;
}

std::unique_ptr<LayerOp> make_layer_op(const Layer& layer, const LayerFacts& facts, int layer_index,
                                       const std::string& implementation) {
  install_caching_allocator();
  const std::vector<std::string> known = implementations_of(facts);
  if (!implementation.empty() &&
      std::find(known.begin(), known.end(), implementation) == known.end())
    throw ConfigError("layers",
                      fmt::format("layer {} ({}) has no implementation \"{}\": choose of {}",
                                  layer.name, facts.type, implementation, fmt::join(known, ", ")));
  const auto& all = implementation == kOwn ? own_makers() : makers();
  const auto maker = all.find(facts.type);
  if (maker != all.end())
    if (auto op = maker->second(layer, facts, layer_index, layout_of(implementation))) return op;
  return make_module_op(layer);
}

bool can_split_features(const LayerFacts& facts) {
  return facts.input_shape.size() == 1 &&
         (facts.type == "linear" || facts.type == "relu" || facts.type == "dropout");
}

double deferred_bytes_per_sample(const LayerFacts& facts, const std::string& implementation) {
  const bool deferred = facts.type == "linear" && implementation == kOwn;
  return deferred ? 4 * (elements(facts.input_shape) + elements(facts.output_shape)) : 0;
}

double saved_bytes_per_sample(const LayerFacts& facts) {
  const double x = elements(facts.input_shape), y = elements(facts.output_shape);
  if (facts.type == "relu" || facts.type == "flatten" || facts.type == "identity") return 0;
  if (facts.type == "dropout") return x;
  if (facts.type == "max_pool2d") return 4 * x + 8 * y;
  if (facts.type == "module") return 4 * (x + y);
  return 4 * x;
}

}  // namespace millrace
