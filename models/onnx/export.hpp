#pragma once
// A trained network as ONNX, for other run times.

#include <string>

#include "millrace/model.hpp"

namespace millrace {

/// Writes network and weights, opset 13, batches of any size N: input "input" [N, sample shape],
/// output "output", weights under their own names. Dropout and batch normalisation as in
/// evaluation. The file is complete or absent, and the same for the same weights. Throws
/// ConfigError (tag "export") naming a layer that ONNX has no operator for here; ResourceError
/// where it cannot be written.
void export_onnx(const Model& model, const std::string& file);

}  // namespace millrace
