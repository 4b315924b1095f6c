#include "framework/layers/fusion.hpp"

#include "framework/layers/ops.hpp"
#include "millrace/model.hpp"

namespace millrace {
namespace {

bool is_own_conv(const LayerFacts& layer, const std::string& implementation) {
  return layer.type == "conv2d" && (implementation == kDirect || is_winograd(implementation));
}

/// The graph around a layer, for those who read or are read by one layer alone.
class Neighbours {
 public:
  explicit Neighbours(const std::vector<LayerFacts>& layers) : layers_(layers) {}

  /// The only reader of layer l, which reads nothing else; none: -1.
  int behind(std::size_t l) const {
    if (layers_[l].readers.empty() || layers_[l].uses() != 1) return -1;
    const int reader = layers_[l].readers.front();
    return layers_[static_cast<std::size_t>(reader)].producers.size() == 1 ? reader : -1;
  }

  /// The only layer that l reads, whose only reader it is; none: -1.
  int before(std::size_t l) const {
    const int producer = layers_[l].producers.size() == 1 ? layers_[l].producers.front() : kSample;
    if (producer == kSample) return -1;
    return behind(static_cast<std::size_t>(producer)) == static_cast<int>(l) ? producer : -1;
  }

  bool is_pooled(std::size_t conv) const {
    int next = behind(conv);
    if (next >= 0 && type(next) == "relu") next = behind(static_cast<std::size_t>(next));
    return next >= 0 && type(next) == "max_pool2d";
  }

 private:
  const std::string& type(int l) const { return layers_[static_cast<std::size_t>(l)].type; }

  const std::vector<LayerFacts>& layers_;
};

/// What the layers beside relu l do of it, and the relu itself.
void fuse_relu(const std::vector<LayerFacts>& layers, const std::vector<std::string>& chosen,
               std::size_t l, std::vector<Fusion>& fusions) {
  const Neighbours graph(layers);
  Fusion& relu = fusions[l];
  const int before = graph.before(l), behind = graph.behind(l);
  const auto b = static_cast<std::size_t>(before), n = static_cast<std::size_t>(behind);
  if (before >= 0 && layers[b].type == "batch_norm") {
    relu.forward_done = relu.backward_done = fusions[b].relu_behind = true;
    fusions[b].relu6_behind = layers[l].type == "relu6";
    return;
  }
  if (layers[l].type == "relu6") return;
  if (behind >= 0) {
    const bool pool = layers[n].type == "max_pool2d" && chosen[n] == kOwn;
    relu.forward_done = pool;
    relu.backward_done = pool || is_own_conv(layers[n], chosen[n]);
    fusions[n].relu_before = relu.backward_done;
  }
  if (before < 0 || relu.forward_done) return;
  relu.forward_done =
      is_own_conv(layers[b], chosen[b]) || (layers[b].type == "linear" && is_own_linear(chosen[b]));
  fusions[b].relu_behind = relu.forward_done;
}

}  // namespace

std::vector<Fusion> fusions(const std::vector<LayerFacts>& layers,
                            const std::vector<std::string>& implementations) {
  std::vector<Fusion> result(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (layers[l].type == "conv2d") result[l].pooled_behind = Neighbours(layers).is_pooled(l);
    if (layers[l].type == "relu" || layers[l].type == "relu6")
      fuse_relu(layers, implementations, l, result);
  }
  return result;
}

}  // namespace millrace
