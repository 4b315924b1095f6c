#include "controller/cli/bench/noise.hpp"

#include <array>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <thread>
#include <vector>

#include "controller/estimate/tried_steps.hpp"

namespace millrace::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// More than a core has in caches of its own.
constexpr std::size_t kStreamed = 8 << 20;

/// Some milliseconds of what training does, so that what other programs take from a training they
/// take from this: multiply-adds that keep the core's vector units busy, then a pass over memory.
void compute(std::vector<float>& memory) {
  constexpr std::size_t kValues = 128;
  std::array<float, kValues> values{};
  for (int i = 0; i < 400'000; ++i)
    for (float& value : values) value = value * 0.999F + 0.5F;
  for (float& value : memory) value = value * 0.999F + 0.5F;
  volatile float sink = std::accumulate(values.begin(), values.end(), memory.back());
  static_cast<void>(sink);
}

}  // namespace

std::vector<double> loop_steps_ns(int threads, double seconds) {
  std::vector<double> steps;
  auto begin = Clock::now();
  const auto end = begin + std::chrono::duration<double>(seconds);
  bool begun = false, over = false;
  std::barrier step(threads, [&]() noexcept {
    const auto now = Clock::now();
    if (begun) steps.push_back(std::chrono::duration<double, std::nano>(now - begin).count());
    begun = true;
    begin = now;
    over = !steps.empty() && now >= end;
  });
  const auto work = [&] {
    std::vector<float> memory(kStreamed);
    step.arrive_and_wait();  // all have theirs
    while (!over) {
      compute(memory);
      step.arrive_and_wait();
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  return steps;
}

double foretelling_error_percent(const std::vector<double>& tried_ns,
                                 const std::vector<double>& steps_ns) {
  const double mean_ns =
      std::accumulate(steps_ns.begin(), steps_ns.end(), 0.0) / static_cast<double>(steps_ns.size());
  return 100 * std::abs(tried_steps(tried_ns, 0).mean_ns - mean_ns) / mean_ns;
}

}  // namespace millrace::cli
