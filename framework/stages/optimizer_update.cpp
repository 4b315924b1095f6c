#include "framework/stages/optimizer_update.hpp"

#include <algorithm>
#include <array>

#include "kernels/reduction/reduction.hpp"

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
    kernels::add_cpu(range.gradients[r] + chunk.begin, chunk.size, sum.data());
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

}  // namespace

void apply_update(const UpdateRange& range, const OptimizerSettings& settings, double learning_rate,
                  std::int64_t step, float scale) {
  const ElementUpdate update = element_update(settings, learning_rate, step, scale);
  for_each_chunk(range, [&](Chunk chunk, const float* gradient) {
    update(range.value + chunk.begin, skipped(range.state1, chunk.begin),
           skipped(range.state2, chunk.begin), gradient, chunk.size);
  });
}

double squared_sum(const UpdateRange& range) {
  std::vector<double> sums(static_cast<std::size_t>(chunks(range)));
  for_each_chunk(range, [&](Chunk chunk, const float* gradient) {
    sums[static_cast<std::size_t>(chunk.begin / kChunk)] =
        kernels::sum_of_squares_cpu(gradient, chunk.size);
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

}  // namespace millrace
