#include "framework/profile/footprint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "framework/layers/layer_op.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

double weights_bytes(const std::vector<LayerFacts>& facts) {
  double total = 0;
  for (const LayerFacts& layer : facts) total += static_cast<double>(layer.weights_bytes);
  return total;
}

/// What forward keeps at most, and the tensors that come and go beside it.
double sample_bytes(const std::vector<LayerFacts>& facts) {
  double saved = 0, largest = 0;
  for (std::size_t l = 0; l < facts.size(); ++l) {
    const LayerFacts& layer = facts[l];
    saved += saved_bytes_per_sample(facts, l, "");
    largest = std::max(largest, tensor_bytes(layer.input_shape) + tensor_bytes(layer.output_shape));
  }
  return saved + 2 * largest;
}

}  // namespace

double tensor_bytes(const std::vector<std::int64_t>& shape) {
  return 4.0 * static_cast<double>(std::accumulate(shape.begin(), shape.end(), std::int64_t{1},
                                                   std::multiplies<>()));
}

double chains_bytes(const std::vector<LayerFacts>& facts,
                    const std::vector<std::int64_t>& samples) {
  double total = 2 * weights_bytes(facts);
  for (const std::int64_t count : samples) {
    total += weights_bytes(facts) + static_cast<double>(count) * sample_bytes(facts);
  }
  return total;
}

std::int64_t samples_that_fit(const std::vector<LayerFacts>& facts, double memory_bytes,
                              std::int64_t batch) {
  if (memory_bytes <= 0) return batch;
  const double fit = (memory_bytes - chains_bytes(facts, {0})) / sample_bytes(facts);
  if (fit < 1) {
    throw ResourceError(
        "profile", fmt::format("measuring the model takes {}, {} may be used: free some "
                               "memory or choose a smaller model",
                               format_bytes(chains_bytes(facts, {1})), format_bytes(memory_bytes)));
  }
  return static_cast<std::int64_t>(std::min(fit, static_cast<double>(batch)));
}

}  // namespace millrace
