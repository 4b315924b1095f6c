#include "framework/layers/dropout.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include "kernels/dropout/dropout.hpp"

namespace millrace {
namespace {

kernels::DropoutRows rows_of(std::int64_t first_element, const at::Tensor& from,
                             const at::Tensor& to) {
  const std::int64_t rows = from.size(0);
  return {rows, first_element, rows > 0 ? from.numel() / rows : 0, from.stride(0), to.stride(0)};
}

}  // namespace

at::Tensor drop(const Dropout& dropout, const DrawKey& key, std::int64_t first_element,
                const at::Tensor& x, const at::Tensor& y) {
  const kernels::DropoutRows rows = rows_of(first_element, x, y);
  at::Tensor keep = at::empty({rows.rows, rows.elements}, at::kByte);
  const kernels::DropoutDraw draw{key.seed, static_cast<std::uint32_t>(key.step),
                                  static_cast<std::uint32_t>(dropout.layer_index),
                                  static_cast<std::uint32_t>(key.first_sample), dropout.p};
  kernels::dropout_cpu(draw, rows, x.data_ptr<float>(), y.data_ptr<float>(),
                       keep.data_ptr<std::uint8_t>());
  return keep;
}

void drop_gradient(const Dropout& dropout, const at::Tensor& keep, const at::Tensor& dy,
                   const at::Tensor& dx) {
  kernels::dropout_gradient_cpu(dropout.p, rows_of(0, dy, dx), keep.data_ptr<std::uint8_t>(),
                                dy.data_ptr<float>(), dx.data_ptr<float>());
}

at::Tensor dropout_mask(const DrawKey& key, int layer_index, std::int64_t rows,
                        std::int64_t first_element, std::int64_t elements, double p) {
  at::Tensor mask = at::ones({rows, elements});
  drop({layer_index, p}, key, first_element, mask, mask);
  return mask;
}

}  // namespace millrace
