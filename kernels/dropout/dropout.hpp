#pragma once
// Inverted dropout with counter-based masks: whichever worker asks, and however often, an element's
// draw is the same.
//
//   draw[i, e] = word e % 4 of Philox 4x32-10 on the counter (e / 4, first_sample + i, step, layer)
//                and the key `seed`, low half first: Salmon et al., "Parallel random numbers: as
//                easy as 1, 2, 3" (2011)
//   keep[i, e] = draw[i, e] >= p 2^32
//   y[i, e]    = x[i, e] * keep[i, e] / (1 - p);  dx = dy * keep / (1 - p)
//
// A row is a sample, a part of its elements may be asked for. y and dx may be x and dy. keep is a
// byte (0 or 1) an element, dense.
//
// Highway, vectors along the blocks of four elements; runs on the calling thread's OpenMP team.
// Every version gives the same bits (for p from 1 - 2^-32 on to one draw in 2^32). Traffic: x read,
// y and keep written.

#include <cstdint>

namespace millrace::kernels {

struct DropoutDraw {
  std::uint64_t seed = 0;
  std::uint32_t step = 0, layer = 0, first_sample = 0;
  double p = 0.5;  ///< share that is dropped, 0 to 1
};

struct DropoutRows {
  std::int64_t rows = 0;
  std::int64_t first_element = 0, elements = 0;  ///< of each sample
  std::int64_t from_row = 0, to_row = 0;         ///< floats between rows of x or dy, of y or dx
};

/// What a kept element is multiplied by.
inline float dropout_scale(double p) { return p < 1 ? static_cast<float>(1 / (1 - p)) : 0.0F; }

void dropout_cpu(const DropoutDraw& draw, const DropoutRows& rows, const float* x, float* y,
                 std::uint8_t* keep);
void dropout_reference(const DropoutDraw& draw, const DropoutRows& rows, const float* x, float* y,
                       std::uint8_t* keep);

void dropout_gradient_cpu(double p, const DropoutRows& rows, const std::uint8_t* keep,
                          const float* dy, float* dx);
void dropout_gradient_reference(double p, const DropoutRows& rows, const std::uint8_t* keep,
                                const float* dy, float* dx);

}  // namespace millrace::kernels
