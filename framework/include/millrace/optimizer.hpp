#pragma once
// Optimizers and learning-rate schedules: values, formulas as LibTorch's.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

enum class OptimizerKind { sgd, adamw };

/// The update formulas of torch::optim::SGD and torch::optim::AdamW.
struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::sgd;
  double learning_rate = 0.01;
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 0;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double clip_norm = 0;  ///< global norm over all stages; 0: off
  bool operator==(const OptimizerSettings&) const = default;
};

/// factor(step) of the base learning rate: a linear warm-up over `warmup_steps`, then
///  constant: 1;  step: gamma^(floor(t / step_size));  cosine: from 1 to 0 at total_steps.
struct LearningRateSchedule {
  std::string name = "constant";  ///< "constant", "step", "cosine"
  std::int64_t warmup_steps = 0;
  std::int64_t step_size = 1000;
  double gamma = 0.1;
  std::int64_t total_steps = 0;  ///< cosine needs it
  bool operator==(const LearningRateSchedule&) const = default;

  double factor(std::int64_t step) const;
};

/// Throws ConfigError (tag "optimizer") for values out of range.
void check(const OptimizerSettings& settings);
void check(const LearningRateSchedule& schedule);

}  // namespace millrace
