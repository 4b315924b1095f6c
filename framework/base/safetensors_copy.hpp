#pragma once
// A safetensors file whose data are written, not yet flushed.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/base/file.hpp"
#include "millrace/safetensors.hpp"

namespace millrace {

/// As write_safetensors(), but for the commit, which another thread may do: it may take a slow disk
/// long, and no longer needs the tensors.
std::unique_ptr<AtomicFile> copy_safetensors(const std::filesystem::path& path,
                                             std::vector<TensorView> tensors,
                                             const std::map<std::string, std::string>& metadata);

}  // namespace millrace
