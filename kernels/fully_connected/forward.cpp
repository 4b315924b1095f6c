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

constexpr std::int64_t kPackBlock = 16;  // a cache line of each sample

/// Inputs begin … end - 1 of panel [in][kPanel] of samples first …; samples beyond n are zero.
void pack_floats(const FullyConnectedSize& size, ConstMatrix x, std::int64_t first,
                 std::int64_t begin, std::int64_t end, float* panel) {
  const std::int64_t count = std::min<std::int64_t>(kPanel, size.n - first);
  for (std::int64_t i = begin; i < end; i += kPackBlock) {
    const std::int64_t block = std::min(kPackBlock, end - i);
    for (std::int64_t s = 0; s < kPanel; ++s) {
      float* to = panel + i * kPanel + s;
      const float* from = x.data + (first + s) * x.stride + i;
      for (std::int64_t j = 0; j < block; ++j) to[j * kPanel] = s < count ? from[j] : 0.0F;
    }
  }
}

/// The same in pairs of inputs, [in / 2][kPanel]; `begin` is even.
void pack_pairs(const FullyConnectedSize& size, ConstMatrix x, std::int64_t first,
                std::int64_t begin, std::int64_t end, float* panel) {
  const std::int64_t count = std::min<std::int64_t>(kPanel, size.n - first);
  for (std::int64_t i = begin; i < end; i += kPackBlock) {
    const std::int64_t block = std::min(kPackBlock, end - i);
    for (std::int64_t s = 0; s < kPanel; ++s) {
      float* to = panel + i / 2 * kPanel + s;
      const float* from = x.data + (first + s) * x.stride + i;
      for (std::int64_t j = 0; j < block; j += 2)
        to[j / 2 * kPanel] = s < count ? pair_of(from[j], j + 1 < block ? from[j + 1] : 0.0F) : 0;
    }
  }
}

void pack_samples(const FullyConnectedSize& size, Precision precision, ConstMatrix x,
                  std::int64_t first, std::int64_t begin, std::int64_t end, float* panel) {
  (precision == Precision::bf16 ? pack_pairs : pack_floats)(size, x, first, begin, end, panel);
}

/// Rows of W, `inputs` wide, as pairs [rows][kInputs / 2], the last one filled up with 0.
void pair_rows(ConstMatrix w, std::int64_t rows, std::int64_t inputs, float* pairs) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < round_up(inputs, 2); i += kLanes)
      PairProducts::store_along(load_lanes(w.data + r * w.stride + i, inputs - i),
                                pairs + r * kInputs / 2, i);
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
template <typename Products>
void forward_block(const FullyConnectedSize& size, const float* panels, std::int64_t count,
                   ConstMatrix w, std::int64_t o, std::int64_t rows, float* sums) {
  constexpr bool kPairs = Products::kPerUnit == 2;
  HWY_ALIGN float pairs[kPairs ? kForwardOutputs * kInputs / 2 : 1];
  const std::int64_t panel_units = ceil_div(size.in, Products::kPerUnit);
  for (std::int64_t i = 0; i < size.in; i += kInputs) {
    const std::int64_t inputs = std::min(kInputs, size.in - i);
    Operand a{w.data + o * w.stride + i, w.stride, 1, 0};
    if constexpr (kPairs) {
      pair_rows({a.a, w.stride}, rows, inputs, pairs);
      a = {pairs, kInputs / 2, 1, 0};
    }
    for (std::int64_t p = 0; p < count; ++p) {
      const float* panel = panels + (p * panel_units + i / Products::kPerUnit) * kPanel;
      for (std::int64_t r = 0; r < rows; r += kTileRows) {
        multiply_rows<2, Products>(static_cast<int>(std::min<std::int64_t>(kTileRows, rows - r)),
                                   {a.a + r * a.row, a.row, 1, 0}, panel, 1,
                                   ceil_div(inputs, Products::kPerUnit),
                                   sums + r * kSamples + p * kPanel, kSamples, i > 0);
      }
    }
  }
}

/// Block `block` of kForwardOutputs outputs, all samples.
void forward_outputs(const FullyConnectedSize& size, Precision precision, const float* panels,
                     ConstMatrix w, const float* bias, bool relu, Matrix y, std::int64_t block) {
  const auto multiply =
      precision == Precision::bf16 ? forward_block<PairProducts> : forward_block<FloatProducts>;
  const std::int64_t panel_units = precision == Precision::bf16 ? ceil_div(size.in, 2) : size.in;
  HWY_ALIGN float sums[kForwardOutputs * kSamples];
  const std::int64_t o = block * kForwardOutputs, rows = std::min(kForwardOutputs, size.out - o);
  const Finish finish{bias, relu, y};
  for (std::int64_t first = 0; first < size.n; first += kSamples) {
    const std::int64_t n = std::min(kSamples, size.n - first);
    multiply(size, panels + first * panel_units, ceil_div(n, kPanel), w, o, rows, sums);
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

void pack_all(const FullyConnectedSize& size, Precision precision, ConstMatrix x, float* panels) {
  const std::int64_t panel = HWY_DYNAMIC_DISPATCH(forward_panel)();
  const std::int64_t count = ceil_div(size.n, panel);
  const std::int64_t parts = ceil_div(size.in, kPackInputs);
  const std::int64_t panel_units = precision == Precision::bf16 ? ceil_div(size.in, 2) : size.in;
#pragma omp parallel for collapse(2) schedule(static) if (count * parts > 1)
  for (std::int64_t p = 0; p < count; ++p)
    for (std::int64_t part = 0; part < parts; ++part) HWY_DYNAMIC_DISPATCH(pack_samples)
  (size, precision, x, p * panel, part * kPackInputs, std::min(size.in, (part + 1) * kPackInputs),
   panels + p * panel * panel_units);
}

}  // namespace

std::int64_t fully_connected_workspace(const FullyConnectedSize& size) {
  if (size.n <= kFewSamples) return 0;
  const std::int64_t samples = ceil_div(size.n, kWidestPanel) * kWidestPanel;
  return std::max(samples * size.in, size.n * size.out);
}

void fully_connected_forward(const FullyConnectedSize& size, Precision precision, ConstMatrix x,
                             ConstMatrix w, const float* bias, bool relu, Matrix y,
                             float* workspace) {
  const bool few = size.n <= kFewSamples;
  if (!few) pack_all(size, precision, x, workspace);
  const std::int64_t blocks = ceil_div(size.out, kForwardOutputs);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (std::int64_t block = 0; block < blocks; ++block) {
    if (few) {
      HWY_DYNAMIC_DISPATCH(forward_few)(size, x, w, bias, relu, y, block);
    } else {
      HWY_DYNAMIC_DISPATCH(forward_outputs)(size, precision, workspace, w, bias, relu, y, block);
    }
  }
}

}  // namespace millrace::kernels
#endif
