#pragma once
// The models of the zoo as a LibTorch user runs them: their modules under autograd, ReLU in place,
// none of our kernels or allocator.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "millrace/model.hpp"

namespace millrace::bench {

class PlainModel {
 public:
  /// Throws ConfigError for a model that the zoo does not have.
  PlainModel(const std::string& name, std::int64_t classes);

  at::Tensor forward(const at::Tensor& inputs) const;
  /// What training minimises: softmax cross-entropy, of auxiliary outputs, too.
  at::Tensor loss(const at::Tensor& inputs, const at::Tensor& labels) const;
  std::vector<at::Tensor> parameters() const;
  const Model& model() const { return model_; }
  void train(bool on);

 private:
  Model model_;
};

}  // namespace millrace::bench
