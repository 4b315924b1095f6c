#pragma once
// State dicts that torch.save wrote: zip archives of a pickle and the tensors' storages.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/weights_file.hpp"

namespace millrace {

/// Of PyTorch 1.6 and later. Takes a dict of tensors, or a checkpoint that has one as "state_dict",
/// "model" or "model_state_dict". Throws ConfigError (tag "weights").
std::unique_ptr<WeightsFile> open_state_dict(const std::string& path);

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Writes dense float32 tensors as torch.load reads them, the same bytes for the same tensors. The
/// file is complete or absent. Throws ResourceError (tag "export").
void save_state_dict(const std::string& path, const NamedTensors& tensors);

}  // namespace millrace
