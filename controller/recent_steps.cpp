#include "controller/recent_steps.hpp"

#include <algorithm>

namespace millrace {
namespace {

double per_second(std::int64_t samples, std::int64_t wall_ns) {
  return wall_ns > 0 ? static_cast<double>(samples) * 1e9 / static_cast<double>(wall_ns) : 0;
}

}  // namespace

void RecentSteps::add(const StepReport& report, std::int64_t wall_ns) {
  steps_.push_back({report.loss * static_cast<double>(report.samples), report.samples, wall_ns});
  if (steps_.size() > kWindow) steps_.pop_front();
  ++count_;
  samples_ += report.samples;
  wall_ns_ += wall_ns;
}

RecentSteps::Step RecentSteps::sum_of_last(std::size_t steps) const {
  Step sum;
  for (std::size_t i = steps_.size() - std::min(steps, steps_.size()); i < steps_.size(); ++i) {
    sum.loss_sum += steps_[i].loss_sum;
    sum.samples += steps_[i].samples;
    sum.wall_ns += steps_[i].wall_ns;
  }
  return sum;
}

double RecentSteps::loss(std::size_t steps) const {
  const Step sum = sum_of_last(steps);
  return sum.samples > 0 ? sum.loss_sum / static_cast<double>(sum.samples) : 0;
}

double RecentSteps::images_per_second(std::size_t steps) const {
  const Step sum = sum_of_last(steps);
  return per_second(sum.samples, sum.wall_ns);
}

double RecentSteps::step_ns(std::size_t steps) const {
  const std::size_t counted = std::min(steps, steps_.size());
  return counted > 0
             ? static_cast<double>(sum_of_last(counted).wall_ns) / static_cast<double>(counted)
             : 0;
}

double RecentSteps::images_per_second_of_all() const { return per_second(samples_, wall_ns_); }

}  // namespace millrace
