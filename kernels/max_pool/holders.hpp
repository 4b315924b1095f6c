#pragma once
// Which windows hold a pixel. Internal to the folder.

#include <cstdint>
#include <vector>

namespace millrace::kernels {

/// For every pixel of a dimension, the windows that hold it and the tap that does: entries
/// first[pixel] … first[pixel + 1] - 1 of `out` and `tap`.
struct Holders {
  std::vector<std::int64_t> first, out, tap;

  Holders(std::int64_t size, std::int64_t pad, std::int64_t taps, std::int64_t stride,
          std::int64_t dilation, std::int64_t outs) {
    for (std::int64_t pixel = 0; pixel < size; ++pixel) {
      first.push_back(static_cast<std::int64_t>(out.size()));
      for (std::int64_t t = 0; t < taps; ++t) {
        const std::int64_t origin = pixel + pad - t * dilation;
        if (origin < 0 || origin % stride != 0 || origin / stride >= outs) continue;
        out.push_back(origin / stride);
        tap.push_back(t);
      }
    }
    first.push_back(static_cast<std::int64_t>(out.size()));
  }
};

}  // namespace millrace::kernels
