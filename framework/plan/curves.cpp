#include "framework/plan/curves.hpp"

#include <algorithm>

namespace millrace {
namespace {

/// More samples than any batch has.
constexpr double kUnlimited = 1e9;

}  // namespace

CurveSums::CurveSums(const Cuts& cuts, const std::vector<const std::vector<double>*>& curves,
                     const std::vector<double>& factors, std::size_t sample_counts)
    : stride_(sample_counts), sums_(sample_counts, 0.0), missing_(1, 0) {
  for (int cut = 1; cut < cuts.size(); ++cut) {
    const auto p = static_cast<std::size_t>(cuts.added(cut));
    const auto before = static_cast<std::size_t>(cuts.parent(cut));
    missing_.push_back(missing_[before] + (curves[p] == nullptr ? 1 : 0));
    for (std::size_t s = 0; s < sample_counts; ++s) {
      const double ns = curves[p] == nullptr ? 0 : factors[p] * (*curves[p])[s];
      sums_.push_back(sums_[before * stride_ + s] + ns);
    }
  }
}

double CurveSums::least_ns_per_sample(int first, int last, const std::vector<std::int64_t>& samples,
                                      std::int64_t most) const {
  const auto per_sample = [&](std::int64_t count) {
    return ns(first, last, sample_point(samples, double(count))) / double(count);
  };
  double least = std::min(per_sample(1), per_sample(most));
  for (const std::int64_t count : samples) {
    if (count < most) least = std::min(least, per_sample(count));
  }
  return least;
}

double CurveSums::least_ns(int first, int last, const std::vector<std::int64_t>& samples,
                           std::int64_t least, std::int64_t most) const {
  const auto ns_of = [&](std::int64_t count) {
    return ns(first, last, sample_point(samples, double(count)));
  };
  double result = std::min(ns_of(least), ns_of(most));
  for (std::size_t i = 0; i < samples.size(); ++i)
    if (samples[i] > least && samples[i] < most) result = std::min(result, ns_at(first, last, i));
  return result;
}

double Line::samples_within(double limit_ns) const {
  if (ns_per_sample > 0) return (limit_ns - constant_ns) / ns_per_sample;
  return constant_ns <= limit_ns ? kUnlimited : 0;
}

double ShareCurve::ns(std::int64_t count) const {
  const SamplePoint point = sample_point(*samples, double(count));
  const double compute = both_passes([&](const CurveSums& curve, int from, int to) {
                           return curve.ns(from, to, point);
                         }) +
                         added.ns(count);
  return std::max({compute, floors[0].ns(count), floors[1].ns(count)});
}

/// At samples[i], with what is added for each sample.
double ShareCurve::measured_ns(std::size_t i) const {
  return both_passes(
             [&](const CurveSums& curve, int from, int to) { return curve.ns_at(from, to, i); }) +
         added.ns_per_sample * double((*samples)[i]);
}

double ShareCurve::samples_within(double limit_ns) const {
  const double limit = limit_ns - added.constant_ns;
  const double most =
      std::min(floors[0].samples_within(limit_ns), floors[1].samples_within(limit_ns));
  double ns_before = 0, count_before = 0, ns = 0;
  for (std::size_t i = 0; i < samples->size(); ++i) {
    const double count = double((*samples)[i]);
    ns = measured_ns(i);
    if (ns > limit) {
      const double part = (limit - ns_before) / (ns - ns_before);
      return std::min(most, count_before + part * (count - count_before));
    }
    ns_before = ns;
    count_before = count;
  }
  return std::min(most, ns > 0 ? limit / ns * count_before : kUnlimited);
}

}  // namespace millrace
