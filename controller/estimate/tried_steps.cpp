#include "controller/estimate/tried_steps.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

/// What the expected spread is worth, in steps.
constexpr double kPriorDegrees = 4;
/// What disturbs a machine lasts about as long: of steps that are shorter, several suffer together.
constexpr double kDisturbance_ns = 1e8;
constexpr double kMostStretched = 4;
/// Of what disturbances cost while so little was tried, the part that is taken for unusual.
constexpr double kUnusual = 0.25;
/// Of a quiet machine, from seconds to minutes later.
constexpr double kLasting = 0.03;

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

TriedSteps tried_steps(const std::vector<double>& steps_ns, double expected_spread) {
  MILLRACE_CHECK(!steps_ns.empty(), "estimate", "a rehearsal has steps");
  const auto n = static_cast<double>(steps_ns.size());
  const double mean = std::accumulate(steps_ns.begin(), steps_ns.end(), 0.0) / n;
  const double median = median_of(steps_ns);
  TriedSteps result;
  // Disturbances come in bursts, more or fewer of them than usual while so little is tried.
  result.mean_ns = mean - kUnusual * (mean - median);
  double squares = kPriorDegrees * std::pow(expected_spread * result.mean_ns, 2);
  for (const double step : steps_ns) squares += std::pow(step - mean, 2);
  result.spread = std::sqrt(squares / (kPriorDegrees + n - 1)) / result.mean_ns;
  const double stretched = 1 + kMostStretched / (1 + result.mean_ns / kDisturbance_ns);
  result.uncertainty = std::hypot(kLasting, result.spread * std::sqrt(stretched / n),
                                  (mean - median) / 2 / result.mean_ns);
  return result;
}

}  // namespace millrace
