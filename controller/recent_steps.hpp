#pragma once
// Means over the last steps, and over all of them.

#include <cstdint>
#include <deque>

#include "millrace/step_report.hpp"

namespace millrace {

class RecentSteps {
 public:
  /// `wall_ns`: with everything that the step waited for.
  void add(const StepReport& report, std::int64_t wall_ns);

  std::int64_t count() const { return count_; }
  /// Weighted by samples, over the last `steps` (at most kWindow).
  double loss(std::size_t steps) const;
  double images_per_second(std::size_t steps) const;
  double step_ns(std::size_t steps) const;
  double images_per_second_of_all() const;

  static constexpr std::size_t kWindow = 100;

 private:
  struct Step {
    double loss_sum = 0;
    std::int64_t samples = 0, wall_ns = 0;
  };
  Step sum_of_last(std::size_t steps) const;

  std::deque<Step> steps_;
  std::int64_t count_ = 0, samples_ = 0, wall_ns_ = 0;  // of all
};

}  // namespace millrace
