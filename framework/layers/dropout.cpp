#include "framework/layers/dropout.hpp"

#include <ATen/ops/empty.h>

#include <array>
#include <cmath>
#include <cstdint>

namespace millrace {
namespace {

using Words = std::array<std::uint32_t, 4>;

/// Philox 4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
inline Words philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ULL * counter[0];
    const std::uint64_t b = 0xCD9E8D57ULL * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(a)};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

/// Draws below it drop the element: p of all 2^32.
std::uint64_t drop_below(double p) { return static_cast<std::uint64_t>(std::ldexp(p, 32)); }

struct RowDraw {
  Words counter;  ///< counter[0] is the block of four elements
  std::uint32_t key0, key1;
  std::uint64_t threshold;
};

void draw_row(RowDraw draw, std::int64_t first_element, std::int64_t elements, std::uint8_t* keep) {
  const std::int64_t first_block = first_element / 4;
  const std::int64_t end = first_element + elements;
  for (std::int64_t block = first_block; block * 4 < end; ++block) {
    draw.counter[0] = static_cast<std::uint32_t>(block);
    const Words words = philox(draw.counter, draw.key0, draw.key1);
    for (std::int64_t lane = 0; lane < 4; ++lane) {
      const std::int64_t element = block * 4 + lane;
      if (element >= first_element && element < end)
        keep[element - first_element] = words[static_cast<std::size_t>(lane)] >= draw.threshold;
    }
  }
}

}  // namespace

at::Tensor draw_keep(const Dropout& dropout, const DrawKey& key, std::int64_t rows,
                     std::int64_t first_element, std::int64_t elements) {
  at::Tensor keep = at::empty({rows, elements}, at::kByte);
  auto* out = keep.data_ptr<std::uint8_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    const RowDraw draw{
        {0, static_cast<std::uint32_t>(key.first_sample + row),
         static_cast<std::uint32_t>(key.step), static_cast<std::uint32_t>(dropout.layer_index)},
        static_cast<std::uint32_t>(key.seed),
        static_cast<std::uint32_t>(key.seed >> 32),
        drop_below(dropout.p)};
    draw_row(draw, first_element, elements, out + row * elements);
  }
  return keep;
}

void apply_keep(const Dropout& dropout, const at::Tensor& keep, const at::Tensor& x,
                at::Tensor& y) {
  const float scale = dropout.scale();
  const std::int64_t rows = keep.size(0), elements = keep.size(1);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint8_t* k = keep.data_ptr<std::uint8_t>() + row * elements;
    const float* in = x.data_ptr<float>() + row * x.stride(0);
    float* out = y.data_ptr<float>() + row * y.stride(0);
#pragma omp simd
    for (std::int64_t i = 0; i < elements; ++i) out[i] = in[i] * (static_cast<float>(k[i]) * scale);
  }
}

at::Tensor dropout_mask(const DrawKey& key, int layer_index, std::int64_t rows,
                        std::int64_t first_element, std::int64_t elements, double p) {
  const Dropout dropout{layer_index, p};
  return draw_keep(dropout, key, rows, first_element, elements)
      .to(at::kFloat)
      .mul_(dropout.scale());
}

}  // namespace millrace
