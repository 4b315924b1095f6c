#include "framework/layers/fusion.hpp"

#include "framework/layers/ops.hpp"
#include "millrace/model.hpp"

namespace millrace {
namespace {

bool is_own_conv(const LayerFacts& layer, const std::string& implementation) {
  return layer.type == "conv2d" && (implementation == kDirect || implementation == kWinograd);
}

bool is_own(const char* type, const LayerFacts& layer, const std::string& implementation) {
  return layer.type == type && implementation == kOwn;
}

bool is_pooled(const std::vector<LayerFacts>& layers, std::size_t conv) {
  std::size_t behind = conv + 1;
  if (behind < layers.size() && layers[behind].type == "relu") ++behind;
  return behind < layers.size() && layers[behind].type == "max_pool2d";
}

}  // namespace

std::vector<Fusion> fusions(const std::vector<LayerFacts>& layers,
                            const std::vector<std::string>& implementations) {
  std::vector<Fusion> result(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (layers[l].type == "conv2d") result[l].pooled_behind = is_pooled(layers, l);
    if (layers[l].type != "relu") continue;
    Fusion& relu = result[l];
    if (l + 1 < layers.size()) {
      const bool pool = is_own("max_pool2d", layers[l + 1], implementations[l + 1]);
      relu.forward_done = pool;
      relu.backward_done = pool || is_own_conv(layers[l + 1], implementations[l + 1]);
      result[l + 1].relu_before = relu.backward_done;
    }
    if (l == 0 || relu.forward_done) continue;
    relu.forward_done = is_own_conv(layers[l - 1], implementations[l - 1]) ||
                        is_own("linear", layers[l - 1], implementations[l - 1]);
    result[l - 1].relu_behind = relu.forward_done;
  }
  return result;
}

}  // namespace millrace
