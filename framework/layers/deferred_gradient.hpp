#pragma once
// A weight gradient that is formed where it is used, piece by piece, in cache.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "framework/layers/layer_op.hpp"
#include "kernels/fully_connected/fully_connected.hpp"

namespace millrace {

/// Columns begin … end - 1 of a weight [out, in].
struct ColumnRange {
  std::int64_t begin = 0, end = 0;

  bool empty() const { return begin == end; }
};

/// The columns from one fraction (0 to 1) of them to another: parts that follow each other cover
/// all of them, and no two share a cache line.
ColumnRange columns_between(std::int64_t columns, double begin, double end);

/// Of the rows of all micro-batches and replicas, in the order of the samples: however they were
/// divided, the same samples give the same bits.
class DeferredGradient {
 public:
  /// Copies the columns of the products of all slots, which are replicas of one weight, on the
  /// calling thread's team. REQUIRES a product, and columns that are not empty.
  DeferredGradient(const std::vector<const ParameterSlot*>& slots, ColumnRange columns);

  std::int64_t blocks() const { return gradient_.blocks(); }

  /// Calls use(block, first, gradient, n) for runs of n elements, which begin at element `first` of
  /// the whole weight: once for every element of the columns. Blocks are divided over the team; the
  /// runs of a block come in order. `near` are buffers of the weight's shape that the caller goes
  /// through with the runs.
  template <typename Use>
  void for_each_run(const std::vector<const float*>& near, const Use& use) const {
    const std::vector<kernels::ConstMatrix> parts = columns_of(near);
#pragma omp parallel for schedule(static) if (blocks() > 1)
    for (std::int64_t block = 0; block < blocks(); ++block)
      gradient_.for_each_tile(block, parts, [&](const kernels::WeightGradient::Tile& tile) {
        for (std::int64_t r = 0; r < tile.rows; ++r)
          use(block, (tile.o + r) * row_ + begin_ + tile.i,
              tile.values + r * kernels::WeightGradient::kTileColumns, tile.columns);
      });
  }

 private:
  std::vector<kernels::ConstMatrix> columns_of(const std::vector<const float*>& buffers) const;

  std::int64_t row_, begin_;  ///< elements of a row of the weight; first column
  kernels::FullyConnectedSize size_;
  at::Tensor workspace_;
  kernels::WeightGradient gradient_;
};

/// Some slot has a product.
bool has_products(const std::vector<const ParameterSlot*>& slots);

}  // namespace millrace
