#include <algorithm>

#include "kernels/fully_connected/blocks.hpp"
#include "kernels/fully_connected/fully_connected.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fully_connected/forward.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/fully_connected/few_samples-inl.h"
#include "kernels/matrix/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

// y^T = W x^T: rows of W are broadcast as they lie in memory, against panels of samples.

constexpr std::int64_t kInputs =
    256;  // of a row of W at a time: a panel's part stays in the L1 cache
constexpr std::int64_t kSamples = 128;  // whose sums are held at a time

std::int64_t forward_panel() { return kPanel; }

/// Inputs begin … end - 1 of panel [in][kPanel] of samples first …; samples beyond n are zero.
void pack_samples(const FullyConnectedSize& size, ConstMatrix x, std::int64_t first,
                  std::int64_t begin, std::int64_t end, float* panel) {
  constexpr std::int64_t kBlock = 16;  // a cache line of each sample
  const std::int64_t count = std::min<std::int64_t>(kPanel, size.n - first);
  for (std::int64_t i = begin; i < end; i += kBlock) {
    const std::int64_t block = std::min(kBlock, end - i);
    for (std::int64_t s = 0; s < kPanel; ++s) {
      float* to = panel + i * kPanel + s;
      const float* from = x.data + (first + s) * x.stride + i;
      for (std::int64_t j = 0; j < block; ++j) to[j * kPanel] = s < count ? from[j] : 0.0F;
    }
  }
}

/// What the sums become: y of samples first … first + n - 1, outputs o … o + rows - 1.
struct Finish {
  const float* bias;
  bool relu;
  Matrix y;

  void operator()(const float* sums, std::int64_t o, std::int64_t rows, std::int64_t first,
                  std::int64_t n) const {
    for (std::int64_t s = 0; s < n; ++s) {
      float* to = y.data + (first + s) * y.stride + o;
      for (std::int64_t r = 0; r < rows; ++r) {
        const float sum = sums[r * kSamples + s] + (bias != nullptr ? bias[o + r] : 0.0F);
        to[r] = relu ? std::max(sum, 0.0F) : sum;
      }
    }
  }
};

/// Outputs o … o + rows - 1 of the samples of `panels` panels.
void forward_block(const FullyConnectedSize& size, const float* panels, std::int64_t count,
                   ConstMatrix w, std::int64_t o, std::int64_t rows, float* sums) {
  for (std::int64_t i = 0; i < size.in; i += kInputs) {
    const std::int64_t inputs = std::min(kInputs, size.in - i);
    for (std::int64_t p = 0; p < count; ++p) {
      const float* panel = panels + (p * size.in + i) * kPanel;
      for (std::int64_t r = 0; r < rows; r += kTileRows) {
        const Operand a{w.data + (o + r) * w.stride + i, w.stride, 1, 0};
        multiply_rows(static_cast<int>(std::min<std::int64_t>(kTileRows, rows - r)), a, panel, 1,
                      inputs, sums + r * kSamples + p * kPanel, kSamples, i > 0);
      }
    }
  }
}

/// Block `block` of kForwardOutputs outputs, all samples.
void forward_outputs(const FullyConnectedSize& size, const float* panels, ConstMatrix w,
                     const float* bias, bool relu, Matrix y, std::int64_t block) {
  HWY_ALIGN float sums[kForwardOutputs * kSamples];
  const std::int64_t o = block * kForwardOutputs, rows = std::min(kForwardOutputs, size.out - o);
  const Finish finish{bias, relu, y};
  for (std::int64_t first = 0; first < size.n; first += kSamples) {
    const std::int64_t n = std::min(kSamples, size.n - first);
    forward_block(size, panels + first * size.in, ceil_div(n, kPanel), w, o, rows, sums);
    finish(sums, o, rows, first, n);
  }
}

/// The same for few samples, from their rows.
void forward_few(const FullyConnectedSize& size, ConstMatrix x, ConstMatrix w, const float* bias,
                 bool relu, Matrix y, std::int64_t block) {
  HWY_ALIGN float sums[kForwardOutputs * kSamples];
  const std::int64_t o = block * kForwardOutputs, rows = std::min(kForwardOutputs, size.out - o);
  dot_rows(static_cast<int>(size.n), size.in, x, {w.data + o * w.stride, w.stride}, rows, sums,
           kSamples);
  Finish{bias, relu, y}(sums, o, rows, 0, size.n);
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {

HWY_EXPORT(forward_panel);
HWY_EXPORT(pack_samples);
HWY_EXPORT(forward_outputs);
HWY_EXPORT(forward_few);

namespace {

constexpr std::int64_t kPackInputs = 1024;  // that a thread takes at a time

void pack_all(const FullyConnectedSize& size, ConstMatrix x, float* panels) {
  const std::int64_t panel = HWY_DYNAMIC_DISPATCH(forward_panel)();
  const std::int64_t count = ceil_div(size.n, panel);
  const std::int64_t parts = ceil_div(size.in, kPackInputs);
#pragma omp parallel for collapse(2) schedule(static) if (count * parts > 1)
  for (std::int64_t p = 0; p < count; ++p)
    for (std::int64_t part = 0; part < parts; ++part) HWY_DYNAMIC_DISPATCH(pack_samples)
  (size, x, p * panel, part * kPackInputs, std::min(size.in, (part + 1) * kPackInputs),
   panels + p * panel * size.in);
}

}  // namespace

std::int64_t fully_connected_workspace(const FullyConnectedSize& size) {
  if (size.n <= kFewSamples) return 0;
  const std::int64_t samples = ceil_div(size.n, kWidestPanel) * kWidestPanel;
  return std::max(samples * size.in, size.n * size.out);
}

void fully_connected_forward(const FullyConnectedSize& size, ConstMatrix x, ConstMatrix w,
                             const float* bias, bool relu, Matrix y, float* workspace) {
  const bool few = size.n <= kFewSamples;
  if (!few) pack_all(size, x, workspace);
  const std::int64_t blocks = ceil_div(size.out, kForwardOutputs);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (std::int64_t block = 0; block < blocks; ++block) {
    if (few) {
      HWY_DYNAMIC_DISPATCH(forward_few)(size, x, w, bias, relu, y, block);
    } else {
      HWY_DYNAMIC_DISPATCH(forward_outputs)(size, workspace, w, bias, relu, y, block);
    }
  }
}

}  // namespace millrace::kernels
#endif
