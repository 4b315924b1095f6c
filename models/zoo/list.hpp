#pragma once
// The models that come with Millrace, by name. Links no LibTorch, so that listing them is instant.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

struct ModelInfo {
  std::string name;
  std::vector<std::int64_t> sample_shape;  ///< C x H x W, or of text its characters
  std::int64_t default_classes = 0;
  std::int64_t parameters = 0;  ///< with default_classes outputs, auxiliary ones included
  std::string description;
  /// Reads characters and says which one follows each: its classes are the characters.
  bool is_text = false;
  /// torchvision's weights of it expect photos as (p - 0.5) / 0.5, not by ImageNet's statistics.
  bool centres_photos = false;
};

/// Every model of the zoo, the largest first.
const std::vector<ModelInfo>& zoo();

/// Whether MODEL on a command line is a file rather than a name of the zoo: it ends with ".onnx".
bool is_model_file(const std::string& source);

/// Whether a network of the zoo reads text; of a file that is not known here. Throws as model_info.
bool reads_text(const std::string& source);

/// How its speed is called: "img/s", of text and of a file, which may read text, "samples/s".
const char* rate_unit(const std::string& source);

/// What plans and costs call the model: the name, or the file's without folder and ending.
std::string model_title(const std::string& source);

/// Throws ConfigError (tag "model") that names the closest model, or all where none is close.
const ModelInfo& model_info(const std::string& name);

}  // namespace millrace
