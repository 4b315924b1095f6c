#pragma once
// What stands before the data of a safetensors file, for those who write the data themselves.

#include <map>
#include <string>
#include <vector>

#include "millrace/safetensors.hpp"

namespace millrace {

/// In the order in which a file has the data: by size of the elements, then by name.
void sort_for_file(std::vector<TensorView>& tensors);

/// Length and header, behind which follow the data of `tensors`, which are in order. Its size
/// depends on the sizes of the metadata alone. Throws as write_safetensors().
std::string safetensors_beginning(const std::vector<TensorView>& tensors,
                                  const std::map<std::string, std::string>& metadata);

}  // namespace millrace
