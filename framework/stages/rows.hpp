#pragma once
// Which samples a worker computes, and how samples go from stage to stage.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "millrace/stage.hpp"

namespace millrace {

/// Rows of one worker in one micro-batch: `count` rows from `begin` on, of `samples` rows that are
/// the samples first_sample … of the batch. A worker may have none.
struct WorkerRows {
  std::int64_t micro_batch = 0;
  std::int64_t first_sample = 0;
  std::int64_t samples = 0;
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

/// Rows of worker `worker` where the batch has `batch` samples, micro-batches at most
/// `micro_batch`, and a full micro-batch is divided into `shares`.
WorkerRows rows_of(const std::vector<std::int64_t>& shares, int worker, std::int64_t micro_batch,
                   std::int64_t micro_batch_index, std::int64_t batch);

/// Number of micro-batches of a batch of `batch` samples.
std::int64_t micro_batches_of(std::int64_t batch, std::int64_t micro_batch);

/// Hands over the rows `first` … of a micro-batch, of each of several values: all undefined where
/// the worker has none, some where nobody needs them.
Payload to_payload(std::int64_t first, std::vector<at::Tensor> values);

/// Rows `first` … first + count - 1 of the micro-batch that `parts` make up, of value `value`;
/// without a copy where one part holds them all. Undefined where count is 0.
at::Tensor gather_rows(const std::vector<Payload>& parts, std::size_t value, std::int64_t first,
                       std::int64_t count);

}  // namespace millrace
