#pragma once
// Where a model comes from: the zoo, or a file.

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/model.hpp"
#include "models/zoo/list.hpp"

namespace millrace {

/// Extents of a sample of the model `source`: a name of the zoo, or an ONNX file.
/// Throws ConfigError (tag "model" or "onnx").
std::vector<std::int64_t> sample_shape_of(const std::string& source);

/// Whether the model reads text. Throws as sample_shape_of.
bool source_reads_text(const std::string& source);

/// When a file's network gets a new last layer with weights, and of text a new embedding, drawn
/// from the seed.
enum class NewHead { never, where_needed, always };

/// The model with `classes` outputs (0: as many as it has): of the zoo with the initial weights of
/// `seed`, of a file with the file's. Throws ConfigError (tag "model" or "onnx"); a file with
/// another number of outputs, and NewHead::never, names --new-head.
Model open_model(const std::string& source, std::int64_t classes, std::uint64_t seed = 1,
                 NewHead head = NewHead::never);

}  // namespace millrace
