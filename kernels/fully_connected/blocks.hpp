#pragma once
// How the passes divide a layer, for every instruction set alike.

#include <cstdint>

#include "kernels/matrix/sizes.hpp"

namespace millrace::kernels {

// Forward: rows of W that pass by together.
inline constexpr std::int64_t kForwardOutputs = 48;

// Input gradient: rows of W that pass by together: two panels of them and their samples stay in the
// L1 cache. With more, rows a power of two apart share too few sets of the L2 cache to lie there
// beside each other.
inline constexpr std::int64_t kGradientOutputs = 64;

/// Floats: no instruction set's panel is wider.
inline constexpr std::int64_t kWidestPanel = 64;

}  // namespace millrace::kernels
