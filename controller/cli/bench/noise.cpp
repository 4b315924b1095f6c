#include "controller/cli/bench/noise.hpp"

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

#include "controller/estimate/tried_steps.hpp"
#include "framework/affinity/affinity.hpp"

namespace millrace::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// Floats for each core: more than it has in caches of its own, of many cores not too much in all.
std::size_t streamed(std::size_t cores) {
  constexpr std::size_t kMost = 8 << 20, kLeast = 1 << 20, kAll = 64 << 20;
  return std::clamp(kAll / cores, kLeast, kMost);
}

/// What ran before leaves pages to be freed and caches to be filled.
constexpr double kSettlingSeconds = 1;

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

std::vector<double> loop_steps_ns(const std::vector<int>& cpus, double seconds) {
  const ScopedBinding allowed(cpus);  // or throws, before a thread waits for others
  std::vector<std::vector<float>> memories(cpus.size());
  for (auto& memory : memories) memory.reserve(streamed(cpus.size()));
  std::vector<double> steps;
  double taken_ns = 0;
  std::optional<Clock::time_point> first;
  Clock::time_point begin;
  bool over = false;
  std::barrier step(static_cast<std::ptrdiff_t>(cpus.size()), [&]() noexcept {
    const auto now = Clock::now();
    if (!first) first = now;
    if (begin - *first >= std::chrono::duration<double>(kSettlingSeconds)) {
      steps.push_back(std::chrono::duration<double, std::nano>(now - begin).count());
      taken_ns += steps.back();
    }
    begin = now;
    over = steps.size() >= 2 && taken_ns >= seconds * 1e9;
  });
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < cpus.size(); ++i)
    threads.emplace_back([&, i] {
      bind_this_thread({cpus[i]});
      memories[i].resize(streamed(cpus.size()));  // touched where it is used
      step.arrive_and_wait();                     // all are there
      while (!over) {
        compute(memories[i]);
        step.arrive_and_wait();
      }
    });
  for (std::jthread& thread : threads) thread.join();
  return steps;
}

double loop_error_percent(const std::vector<int>& cpus, double seconds) {
  const std::vector<double> steps = loop_steps_ns(cpus, kTriedSeconds + seconds);
  auto next = steps.begin();
  for (double tried_ns = 0; next != steps.end() - 1 && tried_ns < kTriedSeconds * 1e9; ++next)
    tried_ns += *next;
  return foretelling_error_percent({steps.begin(), next}, {next, steps.end()});
}

double foretelling_error_percent(const std::vector<double>& tried_ns,
                                 const std::vector<double>& steps_ns) {
  const double mean_ns =
      std::accumulate(steps_ns.begin(), steps_ns.end(), 0.0) / static_cast<double>(steps_ns.size());
  return 100 * std::abs(tried_steps(tried_ns, 0).mean_ns - mean_ns) / mean_ns;
}

}  // namespace millrace::cli
