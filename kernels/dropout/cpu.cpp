#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/dropout/dropout.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dropout/cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;
using Integers = hn::RebindToUnsigned<Floats>;
using Word = hn::Vec<Integers>;

struct HighLow {
  Word high, low;
};

/// Of the 64-bit products of the lanes.
HWY_INLINE HighLow products(Word a, std::uint32_t factor) {
  const Integers d;
#if HWY_TARGET == HWY_SCALAR
  const std::uint64_t product = std::uint64_t{hn::GetLane(a)} * factor;
  return {hn::Set(d, static_cast<std::uint32_t>(product >> 32)),
          hn::Set(d, static_cast<std::uint32_t>(product))};
#else
  const Word b = hn::Set(d, factor);
  const auto even = hn::ShiftRight<32>(hn::MulEven(a, b));
  const auto odd = hn::MulEven(hn::DupOdd(a), b);
  return {hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, even)), hn::Mul(a, b)};
#endif
}

/// The keep bytes of blocks block … block + lanes - 1 of sample `sample`: byte k of a lane is that
/// of its block's element k. `threshold` > 0.
HWY_INLINE Word keep_bytes(const DropoutDraw& draw, std::uint32_t sample, std::uint32_t block,
                           std::uint32_t threshold) {
  const Integers d;
  Word c0 = hn::Iota(d, block), c1 = hn::Set(d, sample), c2 = hn::Set(d, draw.step),
       c3 = hn::Set(d, draw.layer);
  auto key0 = static_cast<std::uint32_t>(draw.seed);
  auto key1 = static_cast<std::uint32_t>(draw.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const HighLow a = products(c0, 0xD2511F53U), b = products(c2, 0xCD9E8D57U);
    c0 = hn::Xor(hn::Xor(b.high, c1), hn::Set(d, key0));
    c1 = b.low;
    c2 = hn::Xor(hn::Xor(a.high, c3), hn::Set(d, key1));
    c3 = a.low;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  const Word least = hn::Set(d, threshold);
  const auto byte = [&](Word draws, std::uint32_t one) HWY_ATTR {
    return hn::IfThenZeroElse(hn::Lt(draws, least), hn::Set(d, one));
  };
  return hn::Or(hn::Or(byte(c0, 1), byte(c1, 1U << 8)),
                hn::Or(byte(c2, 1U << 16), byte(c3, 1U << 24)));
}

/// Elements first … first + elements - 1 of a sample. A lane's bytes lie in memory in the order of
/// its elements: all targets are little-endian.
void draw_row(const DropoutDraw& draw, std::uint32_t sample, Index first, Index elements,
              std::uint8_t* keep) {
  if (draw.p <= 0 || draw.p >= 1) {
    std::memset(keep, draw.p <= 0 ? 1 : 0, static_cast<std::size_t>(elements));
    return;
  }
  const auto threshold =
      static_cast<std::uint32_t>(std::min(std::ceil(std::ldexp(draw.p, 32)), 0xFFFFFFFFp0));
  HWY_ALIGN std::uint32_t words[kLanes];
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(words);
  auto block = static_cast<std::uint32_t>(first / 4);
  for (Index at = -(first % 4); at < elements; at += 4 * kLanes, block += kLanes) {
    hn::Store(keep_bytes(draw, sample, block, threshold), Integers(), words);
    const Index begin = std::max<Index>(at, 0), end = std::min(at + 4 * kLanes, elements);
    std::memcpy(keep + begin, bytes + (begin - at), static_cast<std::size_t>(end - begin));
  }
}

void apply_row(float scale, const std::uint8_t* keep, Index elements, const float* x, float* y) {
  const Floats d;
  const hn::Rebind<std::uint8_t, Floats> bytes;
  const hn::RebindToSigned<Floats> integers;
  Index i = 0;
  for (; i + kLanes <= elements; i += kLanes) {
    const auto kept = hn::ConvertTo(d, hn::PromoteTo(integers, hn::LoadU(bytes, keep + i)));
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Mul(kept, hn::Set(d, scale))), d, y + i);
  }
  for (; i < elements; ++i) y[i] = x[i] * (static_cast<float>(keep[i]) * scale);
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
namespace {

constexpr std::int64_t kTeamElements = 16 * 1024;  // fewer do not pay for waking the team

HWY_EXPORT(draw_row);
HWY_EXPORT(apply_row);

}  // namespace

void dropout_cpu(const DropoutDraw& draw, const DropoutRows& rows, const float* x, float* y,
                 std::uint8_t* keep) {
#pragma omp parallel for schedule(static) if (rows.rows * rows.elements >= kTeamElements)
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    std::uint8_t* const own = keep + i * rows.elements;
    HWY_DYNAMIC_DISPATCH(draw_row)
    (draw, draw.first_sample + static_cast<std::uint32_t>(i), rows.first_element, rows.elements,
     own);
    HWY_DYNAMIC_DISPATCH(apply_row)
    (dropout_scale(draw.p), own, rows.elements, x + i * rows.from_row, y + i * rows.to_row);
  }
}

void dropout_gradient_cpu(double p, const DropoutRows& rows, const std::uint8_t* keep,
                          const float* dy, float* dx) {
#pragma omp parallel for schedule(static) if (rows.rows * rows.elements >= kTeamElements)
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    HWY_DYNAMIC_DISPATCH(apply_row)
    (dropout_scale(p), keep + i * rows.elements, rows.elements, dy + i * rows.from_row,
     dx + i * rows.to_row);
  }
}

}  // namespace millrace::kernels
#endif
