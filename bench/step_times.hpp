#pragma once
// Warm-up steps, then timed ones, the same way in every entry.

#include <chrono>

#include "bench/arguments.hpp"

namespace millrace::bench {

struct StepTimes {
  int steps = 0;
  double seconds = 0;  ///< of all timed steps together
};

/// Runs `step` --warmup times and then, timed, --steps times.
template <typename Step>
StepTimes time_steps(Step&& step, const Arguments& arguments) {
  const int warmup = arguments.positive("--warmup"), steps = arguments.positive("--steps");
  for (int i = 0; i < warmup; ++i) step();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < steps; ++i) step();
  return {steps, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()};
}

}  // namespace millrace::bench
