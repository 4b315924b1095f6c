#include <array>
#include <cmath>

#include "kernels/dropout/dropout.hpp"

namespace millrace::kernels {
namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
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

}  // namespace

void dropout_reference(const DropoutDraw& draw, const DropoutRows& rows, const float* x, float* y,
                       std::uint8_t* keep) {
  for (std::int64_t i = 0; i < rows.rows; ++i)
    for (std::int64_t e = 0; e < rows.elements; ++e) {
      const auto element = static_cast<std::uint64_t>(rows.first_element + e);
      const Words words = philox(
          {static_cast<std::uint32_t>(element / 4),
           draw.first_sample + static_cast<std::uint32_t>(i), draw.step, draw.layer},
          static_cast<std::uint32_t>(draw.seed), static_cast<std::uint32_t>(draw.seed >> 32));
      keep[i * rows.elements + e] = words[element % 4] >= std::ldexp(draw.p, 32) ? 1 : 0;
    }
  dropout_gradient_reference(draw.p, rows, keep, x, y);
}

void dropout_gradient_reference(double p, const DropoutRows& rows, const std::uint8_t* keep,
                                const float* dy, float* dx) {
  for (std::int64_t i = 0; i < rows.rows; ++i)
    for (std::int64_t e = 0; e < rows.elements; ++e) {
      const auto factor = static_cast<float>(keep[i * rows.elements + e]) * dropout_scale(p);
      dx[i * rows.to_row + e] = dy[i * rows.from_row + e] * factor;
    }
}

}  // namespace millrace::kernels
