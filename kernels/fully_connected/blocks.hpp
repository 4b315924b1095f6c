#pragma once
// How the passes divide a layer, for every instruction set alike.

#include <cstdint>

#include "kernels/matrix/sizes.hpp"

namespace millrace::kernels {

// Forward: rows of W that pass by together.
inline constexpr std::int64_t kForwardOutputs = 48;

// Input gradient: rows of W that pass by together, and the columns of each that are copied at a
// time: with them the panel and its samples stay in the L1 cache, the copy in the L2.
inline constexpr std::int64_t kGradientOutputs = 128;
inline constexpr std::int64_t kGradientColumns = 128;

/// Floats: no instruction set's panel is wider.
inline constexpr std::int64_t kWidestPanel = 64;

}  // namespace millrace::kernels
