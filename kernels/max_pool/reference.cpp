#include <algorithm>
#include <cmath>

#include "kernels/max_pool/max_pool.hpp"

namespace millrace::kernels {
namespace {

/// Calls body(index in y) for every output, and tap(index in x, position in the window) for each of
/// its window's pixels between begin and end.
template <typename Begin, typename Tap>
void for_each_window(const PoolShape& s, const Begin& begin, const Tap& tap) {
  std::int64_t out = 0;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t p = 0; p < s.out_height; ++p)
      for (std::int64_t q = 0; q < s.out_width; ++q)
        for (std::int64_t c = 0; c < s.channels; ++c, ++out) {
          begin(out);
          for (std::int64_t tap_index = 0; tap_index < s.taps_y * s.taps_x; ++tap_index) {
            const std::int64_t y = p * s.stride_y + tap_index / s.taps_x * s.dilation_y - s.pad_y;
            const std::int64_t x = q * s.stride_x + tap_index % s.taps_x * s.dilation_x - s.pad_x;
            if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
            tap(out, ((n * s.height + y) * s.width + x) * s.channels + c, tap_index);
          }
        }
}

}  // namespace

void max_pool_reference(const PoolShape& s, const float* x, bool relu, float* y,
                        std::uint8_t* from) {
  bool first = true;
  for_each_window(
      s,
      [&](std::int64_t out) {
        first = !relu;
        y[out] = 0;
        from[out] = kNoPixel;
      },
      [&](std::int64_t out, std::int64_t in, std::int64_t tap) {
        if (!first && !(x[in] > y[out] || std::isnan(x[in]))) return;
        y[out] = x[in];
        from[out] = static_cast<std::uint8_t>(tap);
        first = false;
      });
}

void max_pool_gradient_reference(const PoolShape& s, const float* dy, const std::uint8_t* from,
                                 double* dx) {
  std::fill_n(dx, s.n * s.height * s.width * s.channels, 0.0);
  for_each_window(
      s, [](std::int64_t) {},
      [&](std::int64_t out, std::int64_t in, std::int64_t tap) {
        if (from[out] == tap) dx[in] += dy[out];
      });
}

}  // namespace millrace::kernels
