#pragma once
// A trained network as ONNX, for other run times.

#include <string>
#include <vector>

#include "millrace/model.hpp"

namespace millrace {

/// What is known of the data that a network was trained on; what is empty is left out.
struct OnnxFacts {
  std::vector<std::string> classes;  ///< names, by output
  std::vector<double> mean,
      deviation;  ///< per channel: the input is (pixel / 255 - mean) / deviation
};

/// Writes network and weights, opset 13 (with layer normalisation 17), batches of any size N: input
/// "input" [N, sample shape], output "output", weights under their own names. What auxiliary
/// outputs alone need is left out. Dropout and batch normalisation as in evaluation. The facts are
/// in metadata_props, each an array of JSON: "millrace.classes", "millrace.mean",
/// "millrace.deviation". The file is complete or absent, and the same for the same weights. Throws
/// ConfigError (tag "export") naming a layer that ONNX has no operator for here; ResourceError
/// where it cannot be written.
void export_onnx(const Model& model, const std::string& file, const OnnxFacts& facts = {});

}  // namespace millrace
