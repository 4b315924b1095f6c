#include "kernels/optimizer/optimizer.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimizer/cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Factors come by value: a reference might change with every store.

/// Calls step(tag, i) for vectors of elements from i on, then for single ones.
template <typename Step>
HWY_INLINE void for_each_vector(std::int64_t n, const Step& step) {
  const hn::ScalableTag<float> all;
  const hn::CappedTag<float, 1> one;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(all));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) step(all, i);
  for (; i < n; ++i) step(one, i);
}

template <bool kMomentum, bool kNesterov>
void sgd_elements(SgdFactors f, float* HWY_RESTRICT w, float* HWY_RESTRICT momentum,
                  const float* HWY_RESTRICT gradient, std::int64_t n) {
  for_each_vector(n, [&](auto tag, std::int64_t i) HWY_ATTR {
    const auto old = hn::LoadU(tag, w + i);
    const auto d = hn::MulAdd(hn::Set(tag, f.scale), hn::LoadU(tag, gradient + i),
                              hn::Mul(hn::Set(tag, f.weight_decay), old));
    auto m = d;
    if constexpr (kMomentum) {
      m = hn::MulAdd(hn::Set(tag, f.momentum), hn::LoadU(tag, momentum + i), d);
      hn::StoreU(m, tag, momentum + i);
    }
    const auto step = kNesterov ? hn::MulAdd(hn::Set(tag, f.momentum), m, d) : m;
    hn::StoreU(hn::NegMulAdd(hn::Set(tag, f.learning_rate), step, old), tag, w + i);
  });
}

void sgd(SgdFactors f, float* w, float* momentum, const float* gradient, std::int64_t n) {
  if (momentum == nullptr) return sgd_elements<false, false>(f, w, momentum, gradient, n);
  if (f.nesterov) return sgd_elements<true, true>(f, w, momentum, gradient, n);
  sgd_elements<true, false>(f, w, momentum, gradient, n);
}

void adamw(AdamWFactors f, float* HWY_RESTRICT w, float* HWY_RESTRICT average,
           float* HWY_RESTRICT square, const float* HWY_RESTRICT gradient, std::int64_t n) {
  for_each_vector(n, [&](auto tag, std::int64_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::Set(tag, f.scale), hn::LoadU(tag, gradient + i));
    const auto a = hn::MulAdd(hn::Set(tag, f.beta1), hn::LoadU(tag, average + i),
                              hn::Mul(hn::Set(tag, f.rest1), g));
    const auto s = hn::MulAdd(hn::Set(tag, f.beta2), hn::LoadU(tag, square + i),
                              hn::Mul(hn::Set(tag, f.rest2), hn::Mul(g, g)));
    const auto root = hn::Div(hn::Sqrt(s), hn::Set(tag, f.root_of_correction2));
    const auto step = hn::Div(a, hn::Add(root, hn::Set(tag, f.epsilon)));
    const auto kept = hn::Mul(hn::Set(tag, f.decay), hn::LoadU(tag, w + i));
    hn::StoreU(hn::NegMulAdd(hn::Set(tag, f.step_size), step, kept), tag, w + i);
    hn::StoreU(a, tag, average + i);
    hn::StoreU(s, tag, square + i);
  });
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {

HWY_EXPORT(sgd);
HWY_EXPORT(adamw);

void sgd_cpu(const SgdFactors& factors, float* w, float* momentum, const float* gradient,
             std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(sgd)(factors, w, momentum, gradient, n);
}

void adamw_cpu(const AdamWFactors& factors, float* w, float* average, float* square,
               const float* gradient, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(adamw)(factors, w, average, square, gradient, n);
}

}  // namespace millrace::kernels
#endif
