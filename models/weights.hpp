#pragma once
// Weights from and to files under torchvision's names.

#include <optional>
#include <string>
#include <vector>

#include "millrace/model.hpp"
#include "millrace/safetensors.hpp"
#include "models/onnx/export.hpp"

namespace millrace {

/// What to do with the last layer that has weights, of the model's output and of auxiliary ones.
enum class Head {
  load,  ///< as every other layer
  keep,  ///< not read: it keeps the weights that it has
};

/// Copies the file's tensors into the model's parameters and running statistics (passed over are
/// PyTorch's counters of batches, NAME.num_batches_tracked, and where the model has none the
/// auxiliary heads of torchvision's GoogLeNet and Inception v3). What auxiliary outputs alone need
/// stays as it is where the file has no tensor of it. Every name and shape is checked before
/// anything is copied. Throws ConfigError (tag "weights") naming the file and: the tensors that it
/// lacks, those that the model has not, both shapes where they differ, a type that is not floating.
/// A head of another size names --new-head.
void load_weights(const Model& model, const std::string& file, Head head = Head::load);

/// The names that a file keeps of its classes, as save_weights() does of models of text in
/// safetensors, and of every model in .onnx. Throws ConfigError (tags "weights", "safetensors",
/// "onnx").
std::optional<std::vector<std::string>> classes_in(const std::string& file);

/// Throws ConfigError (tag "export") for a file that save_weights() knows no format of.
void check_weights_ending(const std::string& file);

/// Writes all of them as the file's ending says: .safetensors, .pt or .pth as torch.load reads
/// them, or .onnx with the network and the facts (onnx/export.hpp). The file is complete or absent,
/// and the same for the same weights. Throws as check_weights_ending(), ResourceError where it
/// cannot be written.
void save_weights(const Model& model, const std::string& file, const OnnxFacts& facts = {});

/// The parameters, then the running statistics, each in layer order; for write_safetensors. Valid
/// while the model lives.
std::vector<TensorView> weights_of(const Model& model);

}  // namespace millrace
