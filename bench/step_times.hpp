#pragma once
// Warm-up steps, then timed ones, the same way in every entry.

#include <chrono>

#include "bench/arguments.hpp"

namespace millrace::bench {

struct StepTimes {
  int steps = 0;
  double seconds = 0;  ///< of all timed steps together
};

/// Of `count` steps.
template <typename Step>
StepTimes time_of(Step&& step, int count) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) step();
  return {count, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()};
}

/// Runs `step` --warmup times and then, timed, --steps times.
template <typename Step>
StepTimes time_steps(Step&& step, const Arguments& arguments) {
  time_of(step, arguments.positive("--warmup"));
  return time_of(step, arguments.positive("--steps"));
}

}  // namespace millrace::bench
