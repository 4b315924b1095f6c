#include "framework/layers/deferred_gradient.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr std::int64_t kLine = 16;  // floats of a cache line

std::vector<const GradientProduct*> in_sample_order(
    const std::vector<const ParameterSlot*>& slots) {
  std::vector<const GradientProduct*> products;
  for (const ParameterSlot* slot : slots)
    for (const GradientProduct& product : slot->products) products.push_back(&product);
  std::stable_sort(products.begin(), products.end(),
                   [](const auto* a, const auto* b) { return a->first_sample < b->first_sample; });
  return products;
}

std::int64_t rows_of(const std::vector<const ParameterSlot*>& slots) {
  std::int64_t rows = 0;
  for (const ParameterSlot* slot : slots)
    for (const GradientProduct& product : slot->products) rows += product.x.size(0);
  return rows;
}

}  // namespace

ColumnRange columns_between(std::int64_t columns, double begin, double end) {
  const std::int64_t lines = (columns + kLine - 1) / kLine;
  const auto border = [&](double fraction) {
    return std::min(columns, std::lround(static_cast<double>(lines) * fraction) * kLine);
  };
  return {border(begin), border(end)};
}

DeferredGradient::DeferredGradient(const std::vector<const ParameterSlot*>& slots,
                                   ColumnRange columns)
    : row_(slots.front()->value.size(1)),
      begin_(columns.begin),
      size_{rows_of(slots), columns.end - columns.begin, slots.front()->value.size(0)},
      workspace_(at::empty({kernels::WeightGradient::workspace(size_)}, at::kFloat)),
      gradient_(size_, slots.front()->precision, workspace_.data_ptr<float>()) {
  std::int64_t first = 0;
  for (const GradientProduct* product : in_sample_order(slots)) {
    const std::int64_t n = product->x.size(0);
    gradient_.add(first, n, {product->x.data_ptr<float>() + begin_, product->x.stride(0)},
                  {product->dy.data_ptr<float>(), product->dy.stride(0)});
    first += n;
  }
}

std::vector<kernels::ConstMatrix> DeferredGradient::columns_of(
    const std::vector<const float*>& buffers) const {
  std::vector<kernels::ConstMatrix> parts;
  for (const float* buffer : buffers) parts.push_back({buffer + begin_, row_});
  return parts;
}

bool has_products(const std::vector<const ParameterSlot*>& slots) {
  return std::any_of(slots.begin(), slots.end(),
                     [](const ParameterSlot* slot) { return !slot->products.empty(); });
}

}  // namespace millrace
