#pragma once
// How the passes divide a layer, for every instruction set alike.

#include <cstdint>

#include "kernels/matrix/sizes.hpp"

namespace millrace::kernels {

// Forward: rows of W that pass by together.
inline constexpr std::int64_t kForwardOutputs = 48;

// Input gradient: rows of W that pass by together. With more, rows of some power of two would share
// too few sets of the caches to lie there beside each other.
inline constexpr std::int64_t kGradientOutputs = 64;

/// Floats: no instruction set's panel is wider.
inline constexpr std::int64_t kWidestPanel = 64;

}  // namespace millrace::kernels
