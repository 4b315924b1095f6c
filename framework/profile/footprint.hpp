#pragma once
// How much memory layers take, from their shapes.

#include <cstdint>
#include <vector>

#include "millrace/model.hpp"

namespace millrace {

/// Of one float32 sample.
double tensor_bytes(const std::vector<std::int64_t>& shape);

/// Bytes that several chains of layers take beside the caller's model, chain i at samples[i]
/// samples: weights and momenta, which they share; gradients, and what forward keeps, of each.
double chains_bytes(const std::vector<LayerFacts>& facts, const std::vector<std::int64_t>& samples);

/// The most samples up to `batch` that one chain can run with in `memory_bytes` (0: unknown, all).
/// Throws ResourceError (tag "profile") where one sample does not fit.
std::int64_t samples_that_fit(const std::vector<LayerFacts>& facts, double memory_bytes,
                              std::int64_t batch);

}  // namespace millrace
