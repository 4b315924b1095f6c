#pragma once
// The models of the zoo as a LibTorch user writes them: the baselines share no code with Millrace.

#include <torch/nn/modules/container/sequential.h>

#include <string>
#include <vector>

namespace millrace::bench {

struct PlainModel {
  torch::nn::Sequential network;
  std::vector<std::int64_t> sample_shape;
};

/// Throws std::invalid_argument for a name that has no twin here.
PlainModel plain_model(const std::string& name, std::int64_t classes);

}  // namespace millrace::bench
