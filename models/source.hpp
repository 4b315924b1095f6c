#pragma once
// Where a model comes from: the zoo, or a file.

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/model.hpp"
#include "models/weights.hpp"
#include "models/zoo/list.hpp"

namespace millrace {

/// Extents of a sample of the model `source`: a name of the zoo, or an ONNX file.
/// Throws ConfigError (tag "model" or "onnx").
std::vector<std::int64_t> sample_shape_of(const std::string& source);

/// The model with `classes` outputs (0: as many as it has). Of the zoo with the initial weights of
/// `seed`, of a file with the file's; Head::keep gives a file's network a new last layer, drawn
/// from `seed`. Throws ConfigError (tag "model" or "onnx"); a file with another number of outputs
/// names
/// --new-head.
Model open_model(const std::string& source, std::int64_t classes, std::uint64_t seed = 1,
                 Head head = Head::load);

}  // namespace millrace
