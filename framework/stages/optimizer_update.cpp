#include "framework/stages/optimizer_update.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace millrace {
namespace {

constexpr std::int64_t kChunk = 4096;  // elements: the summed gradient stays in the L1 cache

struct Chunk {
  std::int64_t begin = 0, size = 0;

  Chunk(const UpdateRange& range, std::int64_t number)
      : begin(number * kChunk), size(std::min(kChunk, range.elements - begin)) {}
};

std::int64_t chunks(const UpdateRange& range) { return (range.elements + kChunk - 1) / kChunk; }

/// The gradient of a chunk: in place with one replica, else summed into `sum`.
const float* gradient_of(const UpdateRange& range, Chunk chunk, std::array<float, kChunk>& sum) {
  const float* first = range.gradients[0] + chunk.begin;
  if (range.gradients.size() == 1) return first;
  std::copy(first, first + chunk.size, sum.begin());
  for (std::size_t r = 1; r < range.gradients.size(); ++r) {
    const float* gradient = range.gradients[r] + chunk.begin;
#pragma omp simd
    for (std::int64_t i = 0; i < chunk.size; ++i) sum[static_cast<std::size_t>(i)] += gradient[i];
  }
  return sum.data();
}

/// Calls body(chunk, gradient) for every chunk, on the team.
template <typename Body>
void for_each_chunk(const UpdateRange& range, const Body& body) {
  const std::int64_t count = chunks(range);
#pragma omp parallel for schedule(static) if (count > 8)
  for (std::int64_t number = 0; number < count; ++number) {
    const Chunk chunk(range, number);
    std::array<float, kChunk> sum;
    body(chunk, gradient_of(range, chunk, sum));
  }
}

struct Sgd {
  float learning_rate, momentum, weight_decay, scale;
};

void sgd_plain(float* w, const float* g, std::int64_t n, Sgd f) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i)
    w[i] -= f.learning_rate * (g[i] * f.scale + f.weight_decay * w[i]);
}

template <bool nesterov>
void sgd_momentum(float* w, float* momentum, const float* g, std::int64_t n, Sgd f) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] * f.scale + f.weight_decay * w[i];
    const float m = momentum[i] * f.momentum + d;
    momentum[i] = m;
    w[i] -= f.learning_rate * (nesterov ? d + f.momentum * m : m);
  }
}

ElementUpdate sgd_update(const OptimizerSettings& settings, double learning_rate, float scale) {
  const Sgd factors{static_cast<float>(learning_rate), static_cast<float>(settings.momentum),
                    static_cast<float>(settings.weight_decay), scale};
  const auto with_momentum = settings.nesterov ? sgd_momentum<true> : sgd_momentum<false>;
  return [=](float* w, float* momentum, float*, const float* gradient, std::int64_t n) {
    if (momentum == nullptr) return sgd_plain(w, gradient, n, factors);
    with_momentum(w, momentum, gradient, n, factors);
  };
}

struct AdamW {
  float decay, beta1, rest1, beta2, rest2;  // rest = 1 - beta, rounded once
  float epsilon, step_size, root_of_correction2, scale;
};

void adamw(float* w, float* average, float* square, const float* g, std::int64_t n, AdamW f) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float d = g[i] * f.scale;
    average[i] = average[i] * f.beta1 + d * f.rest1;
    square[i] = square[i] * f.beta2 + d * d * f.rest2;
    const float denominator = std::sqrt(square[i]) / f.root_of_correction2 + f.epsilon;
    w[i] = w[i] * f.decay - f.step_size * (average[i] / denominator);
  }
}

ElementUpdate adamw_update(const OptimizerSettings& settings, double learning_rate,
                           std::int64_t step, float scale) {
  const auto steps = static_cast<double>(step + 1);
  const double correction1 = 1 - std::pow(settings.beta1, steps);
  const double correction2 = 1 - std::pow(settings.beta2, steps);
  const AdamW factors{static_cast<float>(1 - learning_rate * settings.weight_decay),
                      static_cast<float>(settings.beta1),
                      static_cast<float>(1 - settings.beta1),
                      static_cast<float>(settings.beta2),
                      static_cast<float>(1 - settings.beta2),
                      static_cast<float>(settings.epsilon),
                      static_cast<float>(learning_rate / correction1),
                      static_cast<float>(std::sqrt(correction2)),
                      scale};
  return [=](float* w, float* average, float* square, const float* gradient, std::int64_t n) {
    adamw(w, average, square, gradient, n, factors);
  };
}

float* skipped(float* data, std::int64_t elements) { return data ? data + elements : nullptr; }

}  // namespace

ElementUpdate element_update(const OptimizerSettings& settings, double learning_rate,
                             std::int64_t step, float scale) {
  if (settings.kind == OptimizerKind::adamw)
    return adamw_update(settings, learning_rate, step, scale);
  return sgd_update(settings, learning_rate, scale);
}

void apply_update(const UpdateRange& range, const OptimizerSettings& settings, double learning_rate,
                  std::int64_t step, float scale) {
  const ElementUpdate update = element_update(settings, learning_rate, step, scale);
  for_each_chunk(range, [&](Chunk chunk, const float* gradient) {
    update(range.value + chunk.begin, skipped(range.state1, chunk.begin),
           skipped(range.state2, chunk.begin), gradient, chunk.size);
  });
}

double squared_sum(const float* values, std::int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i)
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

double squared_sum(const UpdateRange& range) {
  std::vector<double> sums(static_cast<std::size_t>(chunks(range)));
  for_each_chunk(range, [&](Chunk chunk, const float* gradient) {
    sums[static_cast<std::size_t>(chunk.begin / kChunk)] = squared_sum(gradient, chunk.size);
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

}  // namespace millrace
