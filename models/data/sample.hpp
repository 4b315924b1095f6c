#pragma once
// One sample of a data set as the model reads it.

#include "models/data/loader.hpp"

namespace millrace {

/// Decodes sample `index` for `epoch` into output[channels][height][width]; a function of the
/// settings' seed, epoch and index alone. Thread-safe. Throws as Dataset::decode does.
void decode_sample(const Dataset& dataset, const LoaderSettings& settings, std::int64_t epoch,
                   std::int64_t index, float* output);

}  // namespace millrace
