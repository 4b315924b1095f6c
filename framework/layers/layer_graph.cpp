#include "framework/layers/layer_graph.hpp"

#include <ATen/ops/add.h>

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

std::size_t at_index(int number) { return static_cast<std::size_t>(number); }

}  // namespace

std::vector<std::vector<bool>> input_gradients(const std::vector<LayerFacts>& layers) {
  std::vector<bool> learns;  // by layer: its output's gradient is needed
  std::vector<std::vector<bool>> needed;
  for (const LayerFacts& layer : layers) {
    std::vector<bool>& inputs = needed.emplace_back();
    bool any = false;
    for (const int from : layer.producers) {
      inputs.push_back(from != kSample && learns[at_index(from)]);
      any = any || inputs.back();
    }
    learns.push_back(any || layer.weights_bytes > 0);
  }
  return needed;
}

std::vector<bool> may_overwrite_inputs(const std::vector<OutputFacts>& layers,
                                       const std::vector<int>& begins_anew) {
  std::vector<bool> result, free;  // free: the output's storage is read by its readers alone
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const std::vector<int>& producers = layers[l].producers;
    const int from = producers.front();
    const bool own = from >= 0 && from >= begins_anew[l] &&
                     std::count(producers.begin(), producers.end(), producers.front()) == 1;
    result.push_back(own && free[at_index(from)] && layers[at_index(from)].readers == 1);
    free.push_back(layers[l].use == OutputUse::same_as_x ? result.back()
                                                         : layers[l].use == OutputUse::free);
  }
  return result;
}

Gradient add_gradients(Gradient sum, Gradient part) {
  if (!sum.value.defined()) return part;
  if (!part.value.defined()) return sum;
  if (sum.shared) std::swap(sum, part);
  if (sum.shared) return {at::add(sum.value, part.value), false};
  sum.value.add_(part.value);
  return sum;
}

std::vector<Gradient> passed_on(const Gradient& dy, std::vector<at::Tensor> dxs) {
  std::vector<Gradient> result;
  for (const at::Tensor& dx : dxs) {
    bool shared = false;
    if (dx.defined()) {
      shared = dy.shared && dx.is_alias_of(dy.value);
      for (const at::Tensor& other : dxs)
        shared = shared || (&other != &dx && other.defined() && dx.is_alias_of(other));
    }
    result.push_back({dx, shared});
  }
  return result;
}

}  // namespace millrace
