#pragma once
// Quantiles for "not exceeded with probability p": how many standard deviations above the mean.

namespace millrace {

/// Of the normal distribution. REQUIRES 0.5 <= confidence < 1.
double normal_quantile(double confidence);

/// Of Student's t with `degrees` >= 3 degrees of freedom (Abramowitz and Stegun, 26.7.5): the
/// standard deviation itself was estimated from few values. Within 1 % for confidence <= 0.999.
double student_quantile(double confidence, double degrees);

/// Throws ConfigError (tag "estimate") unless 0.5 < confidence < 1.
void check_confidence(double confidence);

}  // namespace millrace
