#include "framework/profile/measuring.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

namespace millrace {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

std::vector<double> totals(const std::vector<PassTimes>& passes) {
  std::vector<double> result;
  for (const PassTimes& pass : passes) result.push_back(pass.total_ns());
  return result;
}

double median_total(const std::vector<PassTimes>& passes) { return median(totals(passes)); }

/// Time of one pass at `samples`, from what was measured at smaller counts: the line through the
/// last two, proportional from one.
double expected_ns(const MeasuredCounts& measured, std::int64_t samples) {
  if (measured.empty()) return 0;
  const auto last = measured.rbegin();
  const double last_ns = median_total(last->second);
  const auto n = static_cast<double>(samples), n1 = static_cast<double>(last->first);
  if (measured.size() == 1) return last_ns * n / n1;
  const auto before = std::next(last);
  const double slope =
      (last_ns - median_total(before->second)) / (n1 - static_cast<double>(before->first));
  return last_ns + std::max(0.0, slope) * (n - n1);
}

bool settled(const std::vector<PassTimes>& passes, const MeasuringRules& rules) {
  const int count = static_cast<int>(passes.size());
  if (count >= rules.most_passes) return true;
  if (count < rules.settled_passes) return false;
  const std::vector<double> values = totals(passes);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return (*high - *low) / 2 <= rules.settled_spread * median(values);
}

/// The count that gets the next repeat, or measured.end().
MeasuredCounts::iterator next_repeat(MeasuredCounts& measured, const MeasuringRules& rules,
                                     double left_ns) {
  auto best = measured.end();
  for (auto it = measured.begin(); it != measured.end(); ++it) {
    if (settled(it->second, rules) || median_total(it->second) > left_ns) continue;
    if (best == measured.end() || it->second.size() < best->second.size()) best = it;
  }
  return best;
}

}  // namespace

double PassTimes::layer_ns(std::size_t layer) const {
  double sum = 0;
  for (const auto* part :
       {&forward_ns, &backward_ns, &update_ns, &input_gradient_ns, &weight_gradient_ns})
    if (!part->empty()) sum += (*part)[layer];
  return sum;
}

double PassTimes::total_ns() const {
  return sum(forward_ns) + sum(backward_ns) + sum(update_ns) + sum(input_gradient_ns) +
         sum(weight_gradient_ns);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

std::vector<std::int64_t> sample_counts(std::int64_t batch) {
  std::set<std::int64_t> counts = {batch, std::max<std::int64_t>(1, batch / 2)};
  for (std::int64_t n = 1; n < batch / 2; n *= 4) counts.insert(n);
  counts.insert(1);
  return {counts.begin(), counts.end()};
}

std::vector<int> team_widths(int cores) {
  std::vector<int> widths;
  for (int width = 2; width < cores; width *= 2) widths.push_back(width);
  if (cores >= 2) widths.push_back(cores);
  return widths;
}

MeasuredCounts measure_counts(const RunPass& run, const std::vector<std::int64_t>& counts,
                              const MeasuringRules& rules, const NowNs& now) {
  const double end_ns = now() + rules.budget_ns;
  MeasuredCounts measured;
  for (const std::int64_t samples : counts) {
    const bool due = static_cast<int>(measured.size()) < rules.least_counts;
    const bool in_time = due || 2 * expected_ns(measured, samples) <= end_ns - now();
    if (!measured.empty() && (samples > rules.most_samples || !in_time)) break;
    run(samples);  // warm-up: first touch of memory, code and libraries
    measured[samples].push_back(run(samples));
  }
  for (auto it = next_repeat(measured, rules, end_ns - now()); it != measured.end();
       it = next_repeat(measured, rules, end_ns - now())) {
    it->second.push_back(run(it->first));
  }
  return measured;
}

std::vector<double> layer_curve(const MeasuredCounts& measured,
                                const std::vector<std::int64_t>& counts, PassPart part,
                                std::size_t layer) {
  std::vector<double> curve;
  for (const std::int64_t samples : counts) {
    const auto found = measured.find(samples);
    double ns = 0;
    if (found != measured.end()) {
      std::vector<double> values;
      for (const PassTimes& pass : found->second) values.push_back((pass.*part)[layer]);
      ns = median(std::move(values));
    } else {
      const std::size_t known = curve.size();
      const auto count = [&](std::size_t i) { return static_cast<double>(counts[i]); };
      const double slope = known == 1 ? curve[0] / count(0)
                                      : (curve[known - 1] - curve[known - 2]) /
                                            (count(known - 1) - count(known - 2));
      ns = curve.back() + slope * (static_cast<double>(samples) - count(known - 1));
    }
    curve.push_back(curve.empty() ? ns : std::max(ns, curve.back()));
  }
  return curve;
}

MeasuredCounts at_pace_of(const MeasuredCounts& whole, MeasuredCounts apart) {
  for (auto& [samples, passes] : apart) {
    const auto same = whole.find(samples);
    if (same == whole.end()) continue;
    std::vector<double> forwards;
    for (const PassTimes& pass : same->second) forwards.push_back(sum(pass.forward_ns));
    const double expected_ns = median(std::move(forwards));
    for (PassTimes& pass : passes) {
      const double forward_ns = sum(pass.forward_ns);
      if (forward_ns <= 0) continue;
      for (auto* part : {&pass.input_gradient_ns, &pass.weight_gradient_ns})
        for (double& ns : *part) ns *= expected_ns / forward_ns;
    }
  }
  return apart;
}

double spread_percent(const MeasuredCounts& measured, std::size_t layer) {
  std::vector<double> deviations;
  for (const auto& [samples, passes] : measured) {
    std::vector<double> times;
    for (const PassTimes& pass : passes) {
      times.push_back(pass.forward_ns[layer] +
                      (pass.backward_ns.empty() ? 0 : pass.backward_ns[layer]));
    }
    const double middle = median(times);
    if (times.size() < 2 || middle <= 0) continue;
    // The median is taken from the same few passes: they lie nearer to it than to the truth.
    const auto n = static_cast<double>(times.size());
    const double correction = std::sqrt(n / (n - 1));
    for (const double time : times) deviations.push_back(correction * std::abs(time / middle - 1));
  }
  return 100 * 1.4826 * median(std::move(deviations));
}

double ns_per_sample(const MeasuredCounts& measured) {
  const auto& [samples, passes] = *measured.rbegin();
  return median_total(passes) / static_cast<double>(samples);
}

BudgetShares::BudgetShares(double end_ns, std::vector<double> weights, NowNs now)
    : end_ns_(end_ns), weights_(std::move(weights)), now_(std::move(now)) {}

double BudgetShares::next() {
  const auto first = weights_.begin() + static_cast<std::ptrdiff_t>(next_);
  const double weights_left = std::accumulate(first, weights_.end(), 0.0);
  const double left_ns = std::max(0.0, end_ns_ - now_());
  return left_ns * weights_[next_++] / weights_left;
}

}  // namespace millrace
