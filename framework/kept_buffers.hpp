#pragma once
// What a model's trial steps must leave as it was.

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "millrace/model.hpp"

namespace millrace {

/// Running statistics, put back at its end: a training step changes them even where nothing is
/// learnt.
class KeptBuffers {
 public:
  explicit KeptBuffers(const Model& model) : buffers_(named_buffers(model)) {
    for (const auto& [name, value] : buffers_) copies_.push_back(value.clone());
  }
  ~KeptBuffers() {
    for (std::size_t i = 0; i < copies_.size(); ++i) buffers_[i].second.copy_(copies_[i]);
  }
  KeptBuffers(const KeptBuffers&) = delete;
  KeptBuffers& operator=(const KeptBuffers&) = delete;

 private:
  std::vector<std::pair<std::string, torch::Tensor>> buffers_;
  std::vector<torch::Tensor> copies_;
};

}  // namespace millrace
