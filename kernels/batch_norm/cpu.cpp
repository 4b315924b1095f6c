#include <omp.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/batch_norm/batch_norm.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/batch_norm/cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

/// Rows whose sums are made in float32, small enough to stay in the nearest cache.
HWY_INLINE Index rows_of_run(Index channels) {
  constexpr Index kRunFloats = 4096;
  return std::clamp<Index>(kRunFloats / channels, 8, 64);
}

/// Adds to `first` and `second` of every channel what add(c, lanes, row, s, q) sums up over rows.
template <typename Add>
HWY_INLINE void sum_rows(Index rows, Index channels, double* first, double* second,
                         const Add& add) {
  const Floats d;
  const Index step = rows_of_run(channels);
  HWY_ALIGN float sums[2][kLanes];
  for (Index begin = 0; begin < rows; begin += step) {
    const Index end = std::min(rows, begin + step);
    for (Index c = 0; c < channels; c += kLanes) {
      const Index lanes = std::min<Index>(kLanes, channels - c);
      Vector s = hn::Zero(d), q = hn::Zero(d);
      for (Index r = begin; r < end; ++r) add(c, lanes, r * channels + c, s, q);
      hn::Store(s, d, sums[0]);
      hn::Store(q, d, sums[1]);
      for (Index lane = 0; lane < lanes; ++lane) {
        first[c + lane] += sums[0][lane];
        second[c + lane] += sums[1][lane];
      }
    }
  }
}

/// Sums of x - pivot and of its square.
void add_deviations(Index rows, Index channels, const float* pivot, const float* x, double* sum,
                    double* squares) {
  sum_rows(rows, channels, sum, squares,
           [=](Index c, Index lanes, Index i, Vector& s, Vector& q) HWY_ATTR {
             const Vector deviation =
                 hn::Sub(load_lanes(x + i, lanes), load_lanes(pivot + c, lanes));
             s = hn::Add(s, deviation);
             q = hn::MulAdd(deviation, deviation, q);
           });
}

struct Channel {
  Vector scale, shift;
};

HWY_INLINE Channel load_channel(const NormLine& line, Index c, Index lanes) {
  return {load_lanes(line.scale + c, lanes), load_lanes(line.shift + c, lanes)};
}

/// Where the gradient ends; no number, which nothing reaches, where y may be infinite.
HWY_INLINE float end_of(const NormLine& line) {
  using Limits = std::numeric_limits<float>;
  return line.most < Limits::infinity() ? line.most : Limits::quiet_NaN();
}

/// dy where y = x scale + shift is not cut off: not at 0 or below, not from `end` on.
HWY_INLINE Vector passed(const NormLine& line, float end, Vector x, Vector dy, Index c,
                         Index lanes) {
  if (!line.relu) return dy;
  const Channel channel = load_channel(line, c, lanes);
  const Vector y = hn::MulAdd(x, channel.scale, channel.shift);
  const auto outside = hn::Or(hn::Le(y, hn::Zero(Floats())), hn::Ge(y, hn::Set(Floats(), end)));
  return hn::IfThenZeroElse(outside, dy);
}

void add_gradients(Index rows, Index channels, const NormLine& line, const float* mean,
                   const float* x, const float* dy, double* sum, double* product) {
  const float end = end_of(line);
  sum_rows(rows, channels, sum, product,
           [&](Index c, Index lanes, Index i, Vector& s, Vector& q) HWY_ATTR {
             const Vector value = load_lanes(x + i, lanes);
             const Vector gradient = passed(line, end, value, load_lanes(dy + i, lanes), c, lanes);
             s = hn::Add(s, gradient);
             q = hn::MulAdd(gradient, hn::Sub(value, load_lanes(mean + c, lanes)), q);
           });
}

/// What is no number stays so.
HWY_INLINE Vector cut(Vector value, float most) {
  const Vector bound = hn::Set(Floats(), most);
  return hn::IfThenElse(hn::Gt(value, bound), bound, clamp_at_zero(value));
}

void normalise(Index rows, Index channels, const NormLine& line, const float* x, float* y) {
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < channels; c += kLanes) {
      const Index lanes = std::min<Index>(kLanes, channels - c), i = r * channels + c;
      const Channel channel = load_channel(line, c, lanes);
      const Vector value = hn::MulAdd(load_lanes(x + i, lanes), channel.scale, channel.shift);
      store_lanes(line.relu ? cut(value, line.most) : value, y + i, lanes);
    }
}

void input_gradient(Index rows, Index channels, const NormLine& line, const NormGradient& g,
                    const float* x, const float* dy, float* dx) {
  const float end = end_of(line);
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < channels; c += kLanes) {
      const Index lanes = std::min<Index>(kLanes, channels - c), i = r * channels + c;
      const Vector value = load_lanes(x + i, lanes);
      const Vector gradient = passed(line, end, value, load_lanes(dy + i, lanes), c, lanes);
      const Vector deviation = hn::Sub(value, load_lanes(g.mean + c, lanes));
      const Vector rest =
          hn::MulAdd(load_lanes(g.b + c, lanes), deviation, load_lanes(g.c + c, lanes));
      store_lanes(hn::MulAdd(load_lanes(g.a + c, lanes), gradient, rest), dx + i, lanes);
    }
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
namespace {

constexpr std::int64_t kTeamElements = 16 * 1024;  // fewer do not pay for waking the team

HWY_EXPORT(add_deviations);
HWY_EXPORT(add_gradients);
HWY_EXPORT(normalise);
HWY_EXPORT(input_gradient);

int parts_of(const NormShape& shape) {
  return shape.rows * shape.channels < kTeamElements ? 1 : omp_get_max_threads();
}

/// Calls work(part, first element, rows) for equal parts of the rows, on the team.
template <typename Work>
void divide(const NormShape& shape, int parts, const Work& work) {
#pragma omp parallel for schedule(static, 1) num_threads(parts) if (parts > 1)
  for (int part = 0; part < parts; ++part) {
    const std::int64_t begin = shape.rows * part / parts, end = shape.rows * (part + 1) / parts;
    work(part, begin * shape.channels, end - begin);
  }
}

/// Both sums by channel over all rows, the parts' in order.
template <typename AddUp>
void sum_parts(const NormShape& shape, double* first, double* second, const AddUp& add_up) {
  const int parts = parts_of(shape);
  const auto channels = static_cast<std::size_t>(shape.channels);
  std::vector<double> sums(2 * channels * static_cast<std::size_t>(parts), 0.0);
  divide(shape, parts, [&](int part, std::int64_t offset, std::int64_t rows) {
    double* const own = sums.data() + 2 * channels * static_cast<std::size_t>(part);
    add_up(offset, rows, own, own + channels);
  });
  std::fill_n(first, channels, 0.0);
  std::fill_n(second, channels, 0.0);
  for (const double* own = sums.data(); own != sums.data() + sums.size(); own += 2 * channels)
    for (std::size_t c = 0; c < channels; ++c) {
      first[c] += own[c];
      second[c] += own[channels + c];
    }
}

}  // namespace

void norm_statistics_cpu(const NormShape& shape, const float* x, double* mean, double* deviations) {
  // From the first row, so that a mean that is large beside the deviations cancels no digits.
  sum_parts(shape, mean, deviations,
            [&](std::int64_t offset, std::int64_t rows, double* sum, double* squares) {
              HWY_DYNAMIC_DISPATCH(add_deviations)
              (rows, shape.channels, x, x + offset, sum, squares);
            });
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    const double from_first = mean[c] / static_cast<double>(shape.rows);
    const double sum = deviations[c] - mean[c] * from_first;
    deviations[c] = sum < 0 ? 0 : sum;  // by round-off; what is no number stays so
    mean[c] = x[c] + from_first;
  }
}

void norm_cpu(const NormShape& shape, const NormLine& line, const float* x, float* y) {
  divide(shape, parts_of(shape), [&](int, std::int64_t offset, std::int64_t rows) {
    HWY_DYNAMIC_DISPATCH(normalise)(rows, shape.channels, line, x + offset, y + offset);
  });
}

void norm_gradient_sums_cpu(const NormShape& shape, const NormLine& line, const float* mean,
                            const float* x, const float* dy, double* sum, double* product) {
  sum_parts(shape, sum, product,
            [&](std::int64_t offset, std::int64_t rows, double* sums, double* products) {
              HWY_DYNAMIC_DISPATCH(add_gradients)
              (rows, shape.channels, line, mean, x + offset, dy + offset, sums, products);
            });
}

void norm_gradient_cpu(const NormShape& shape, const NormLine& line, const NormGradient& gradient,
                       const float* x, const float* dy, float* dx) {
  divide(shape, parts_of(shape), [&](int, std::int64_t offset, std::int64_t rows) {
    HWY_DYNAMIC_DISPATCH(input_gradient)
    (rows, shape.channels, line, gradient, x + offset, dy + offset, dx + offset);
  });
}

}  // namespace millrace::kernels
#endif
