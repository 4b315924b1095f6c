#include <algorithm>
#include <cmath>

#include "controller/estimate/quantile.hpp"
#include "millrace/errors.hpp"
#include "millrace/estimate.hpp"

namespace millrace {
namespace {

/// Steps that count: a machine that becomes hot or busy shows within as many.
constexpr double kMemory = 256;
/// What the prior deviation of a step is worth, in observations.
constexpr double kPriorDegrees = 4;
/// Correlation of a step with the one before, before any was seen.
constexpr double kPriorLikeness = 0.5;
/// A second that is busy slows more steps than the likeness of two in a row tells: what the means
/// of so many in a row vary by does, once there are some.
constexpr std::int64_t kBlock = 16, kLeastBlocks = 4;
constexpr double kBlockMemory = 32;
/// The part of the prior's common deviation that stays: the machine may change after what was seen.
constexpr double kDrift = 0.75;
/// No estimate made before the run is believed to be closer.
constexpr double kLeastSpread = 0.02;

}  // namespace

RemainingTime::RemainingTime(const Estimate& first, double confidence)
    : prior_mean_ns_(first.step.expected_ns),
      prior_common_ns_(std::max(first.common_spread, kLeastSpread) * first.step.expected_ns),
      prior_step_ns_(first.step_spread * first.step.expected_ns),
      confidence_(confidence) {
  check_confidence(confidence);
  MILLRACE_CHECK(prior_mean_ns_ >= 0 && prior_common_ns_ >= 0 && prior_step_ns_ >= 0, "estimate",
                 "times are not negative");
}

void RemainingTime::observe(double step_ns) {
  ++observed_;
  const double weight = 1 / std::min(static_cast<double>(observed_), kMemory);
  const double deviation = step_ns - mean_ns_;
  const double previous = observed_ > 1 ? last_ns_ - mean_ns_ : 0;
  covariance_ = (1 - weight) * (covariance_ + weight * deviation * previous);
  variance_ = (1 - weight) * (variance_ + weight * deviation * deviation);
  mean_ns_ += weight * deviation;
  last_ns_ = step_ns;
  observe_in_block(step_ns);
}

void RemainingTime::observe_in_block(double step_ns) {
  block_ns_ += step_ns / kBlock;
  if (observed_ % kBlock != 0) return;
  const double deviation = block_ns_ - mean_ns_;
  const double weight = 1 / std::min(static_cast<double>(++blocks_), kBlockMemory);
  block_variance_ += weight * (deviation * deviation - block_variance_);
  block_ns_ = 0;
}

double RemainingTime::stretched(double step_variance) const {
  const double n = std::min(static_cast<double>(observed_), kMemory);
  // Few steps cannot show how they resemble each other, so that a prior likeness counts, too.
  const double likeness =
      variance_ > 0 ? std::clamp((n * covariance_ / variance_ + kPriorDegrees * kPriorLikeness) /
                                     (n + kPriorDegrees),
                                 0.0, 0.9)
                    : 0;
  const double by_likeness = step_variance * (1 + likeness) / (1 - likeness);
  return blocks_ < kLeastBlocks ? by_likeness : std::max(by_likeness, kBlock * block_variance_);
}

TimeEstimate RemainingTime::remaining(std::int64_t steps, double other_ns) const {
  const double n = std::min(static_cast<double>(observed_), kMemory);
  // One step by itself: the prior's deviation and the observed one, weighted by their degrees.
  const double degrees = kPriorDegrees + std::max(0.0, n - 1);
  const double step_variance =
      (kPriorDegrees * prior_step_ns_ * prior_step_ns_ + n * variance_) / degrees;
  const double varying = stretched(step_variance);
  // The mean: normal prior, normal observations. A prior that they contradict is worth less.
  const double common_variance = prior_common_ns_ * prior_common_ns_;
  const double surprise = n > 0 ? mean_ns_ - prior_mean_ns_ : 0;
  const double prior_variance = std::max(common_variance, surprise * surprise);
  const double trust =
      prior_variance + varying > 0 && n > 0 ? prior_variance / (prior_variance + varying / n) : 0;
  const double mean = prior_mean_ns_ + trust * surprise;
  const double drift_variance = n > 0 ? kDrift * kDrift * common_variance : 0;
  const double mean_variance = std::max(prior_variance * (1 - trust), drift_variance);

  const auto left = static_cast<double>(steps);
  const double deviation = std::sqrt(left * left * mean_variance + left * varying);
  const double expected = left * mean + other_ns;
  const double quantile =
      n > 0 ? student_quantile(confidence_, degrees) : normal_quantile(confidence_);
  return {expected, expected + quantile * deviation};
}

}  // namespace millrace
