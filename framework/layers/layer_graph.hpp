#pragma once
// What the layers' graph says about running them one after the other: which gradients are needed,
// whose storage may be reused, how gradients of several readers meet.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "framework/layers/layer_op.hpp"
#include "millrace/model.hpp"

namespace millrace {

/// By layer and input: whether something before it learns, so that the input's gradient is needed.
std::vector<std::vector<bool>> input_gradients(const std::vector<LayerFacts>& layers);

/// Of a layer that runs in a stage.
struct OutputFacts {
  OutputUse use = OutputUse::kept;
  std::vector<int> producers;  ///< layers of the same list; negative: what they do not make
  int readers = 1;
};

/// By layer: whether it may write over its first input. begins_anew[l] is the first layer of those
/// that run again with l, which find again what was made before it.
std::vector<bool> may_overwrite_inputs(const std::vector<OutputFacts>& layers,
                                       const std::vector<int>& begins_anew);

/// A gradient on its way to the layer that reads it.
struct Gradient {
  at::Tensor value;
  bool shared = false;  ///< somebody else has the same storage: not to be written to
};

/// sum + part; both undefined: undefined. Writes to what nobody shares.
Gradient add_gradients(Gradient sum, Gradient part);

/// What an op's backward() returned for `dy`.
std::vector<Gradient> passed_on(const Gradient& dy, std::vector<at::Tensor> dxs);

}  // namespace millrace
