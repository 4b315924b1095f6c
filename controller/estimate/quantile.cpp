#include "controller/estimate/quantile.hpp"

#include <cmath>
#include <numbers>
#include <string>

#include "millrace/errors.hpp"

namespace millrace {

double normal_quantile(double confidence) {
  // Newton's method on the upper tail. The distribution function is concave above 0, so that the
  // iterates rise from 0 to the root without passing it.
  const double tail = 1 - confidence;
  double z = 0;
  for (double change = 1; change > 1e-12 * (1 + z);) {
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    change = (0.5 * std::erfc(z / std::numbers::sqrt2) - tail) / density;
    z += change;
  }
  return z;
}

double student_quantile(double confidence, double degrees) {
  const double z = normal_quantile(confidence);
  const double z2 = z * z;
  const double g1 = z * (z2 + 1) / 4;
  const double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
  const double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
  return z + (g1 + (g2 + g3 / degrees) / degrees) / degrees;
}

void check_confidence(double confidence) {
  if (confidence > 0.5 && confidence < 1) return;
  throw ConfigError("estimate", "the confidence is " + std::to_string(confidence) +
                                    ", it must lie between 0.5 and 1: 0.99 is usual");
}

}  // namespace millrace
