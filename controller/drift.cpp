#include "controller/drift.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace millrace {
namespace {

// Long enough for a moment's disturbance not to count, short enough to notice within seconds.
constexpr std::size_t kWindowSteps = 3;
constexpr double kWindow_ns = 1e9;
constexpr double kLightWorker = 0.05;  // of the step: its time is noise

std::vector<double> load_of(const StepReport& report, std::int64_t wall_ns) {
  std::map<std::pair<int, int>, double> by_worker;
  for (const TaskSpan& task : report.tasks)
    by_worker[{task.lane, task.worker}] += static_cast<double>(task.busy_ns());
  std::vector<double> load = {static_cast<double>(wall_ns)};
  for (const auto& [worker, busy_ns] : by_worker) load.push_back(busy_ns);
  return load;
}

std::vector<double> medians(const std::vector<std::vector<double>>& loads) {
  std::vector<double> result;
  for (std::size_t i = 0; i < loads.front().size(); ++i) {
    std::vector<double> values;
    for (const auto& load : loads) values.push_back(load[i]);
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    result.push_back(*middle);
  }
  return result;
}

}  // namespace

void DriftWatch::observe(const StepReport& report, std::int64_t wall_ns) {
  if (!std::exchange(warm_, true)) return;
  Load load = load_of(report, wall_ns);
  if (!window_.empty() && load.size() != window_.front().size()) return;
  window_ns_ += load.front();
  window_.push_back(std::move(load));
  if (window_.size() < kWindowSteps || window_ns_ < kWindow_ns) return;
  last_ = medians(window_);
  if (first_.empty()) first_ = last_;
  window_.clear();
  window_ns_ = 0;
}

bool DriftWatch::has_drifted() const {
  for (std::size_t i = 0; i < last_.size(); ++i) {
    if (std::max(first_[i], last_[i]) < kLightWorker * first_.front()) continue;
    if (last_[i] > kBand * first_[i] || first_[i] > kBand * last_[i]) return true;
  }
  return false;
}

}  // namespace millrace
