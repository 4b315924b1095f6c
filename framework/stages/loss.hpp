#pragma once
// The loss of a worker's rows of a micro-batch, and its gradient.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "millrace/model.hpp"

namespace millrace {

struct RowsLoss {
  double sum = 0;            ///< over the rows
  std::int64_t correct = 0;  ///< labels that are the largest output; 0 with an own loss
  at::Tensor gradient;       ///< of scale * sum, by the outputs; undefined where none is asked for
};

/// The loss function `loss` (empty: softmax cross-entropy against int64 labels, the mean over a
/// row's positions) on `outputs` [rows, …] and `targets` [rows, …]. Throws ConfigError (tag "loss")
/// naming a label that is no class, or an own loss that is not one number or does not follow from
/// the outputs.
RowsLoss loss_of(const LossFunction& loss, const at::Tensor& outputs, const at::Tensor& targets,
                 double scale, bool with_gradient);

}  // namespace millrace
