#include "controller/cli/bench/report.hpp"

#include <algorithm>
#include <cmath>

namespace millrace::cli {
namespace {

/// Median over the rounds of combine(plan, other); absent where either entry is.
template <typename Combine>
std::optional<double> by_round(const BenchReport& report, const std::string& other,
                               Combine combine) {
  const BenchEntry *plan = report.find("plan"), *base = report.find(other);
  if (plan == nullptr || base == nullptr) return {};
  const std::size_t rounds = std::min(plan->rounds.size(), base->rounds.size());
  if (rounds == 0) return {};
  std::vector<double> values;
  for (std::size_t i = 0; i < rounds; ++i) {
    values.push_back(combine(plan->rounds[i].images_per_second, base->rounds[i].images_per_second));
  }
  return median(std::move(values));
}

std::optional<double> roof_fraction(const BenchReport& report) {
  const BenchEntry* plan = report.find("plan");
  if (plan == nullptr || plan->rounds.empty()) return {};
  std::vector<double> values;
  for (std::size_t i = 0; i < plan->rounds.size(); ++i) {
    const double roof = report.matrix_rates[i].all_cores / report.flops_per_image;
    values.push_back(plan->rounds[i].images_per_second / roof);
  }
  return median(std::move(values));
}

}  // namespace

const std::vector<std::string>& bench_entry_names() {
  static const std::vector<std::string> names = {"one core", "libtorch", "libtorch tuned",
                                                 "even data parallel", "plan"};
  return names;
}

const BenchEntry* BenchReport::find(const std::string& name) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const BenchEntry& entry) { return entry.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

BenchRatios ratios(const BenchReport& report) {
  const auto quotient = [](double plan, double other) { return plan / other; };
  return {by_round(report, "one core",
                   [](double plan, double other) { return 100 * (1 - other / plan); }),
          by_round(report, "libtorch", quotient), by_round(report, "libtorch tuned", quotient),
          roof_fraction(report)};
}

std::optional<EstimateSummary> estimate_summary(const BenchReport& report) {
  const BenchEntry* plan = report.find("plan");
  if (plan == nullptr) return {};
  EstimateSummary summary;
  double count = 0;
  for (const EntryRound& round : plan->rounds) {
    if (!round.estimate) continue;
    const auto& [predicted, expected, latest, measured, noise] = *round.estimate;
    ++count;
    const auto add = [&](double& mean, double value) { mean += (value - mean) / count; };
    add(summary.mean.predicted_ns, predicted);
    add(summary.mean.expected_ns, expected);
    add(summary.mean.latest_ns, latest);
    add(summary.mean.measured_ns, measured);
    add(summary.mean.noise_percent, noise);
    add(summary.error_percent, 100 * std::abs(expected - measured) / measured);
    add(summary.predicted_error_percent, 100 * std::abs(predicted - measured) / measured);
  }
  return count > 0 ? std::optional(summary) : std::nullopt;
}

}  // namespace millrace::cli
