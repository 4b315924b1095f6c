#include "framework/plan/curves.hpp"

#include <algorithm>

namespace millrace {

SamplePoint sample_point(const std::vector<std::int64_t>& samples, double count) {
  const auto above = std::lower_bound(samples.begin(), samples.end(), count,
                                      [](std::int64_t n, double x) { return double(n) < x; });
  const int i = static_cast<int>(above - samples.begin());
  if (above == samples.begin()) return {0, count / double(samples.front()), 0};
  if (above == samples.end()) return {i - 1, count / double(samples.back()), 0};
  const double part = (count - double(samples[i - 1])) / double(samples[i] - samples[i - 1]);
  if (part == 1) return {i, 1, 0};
  return {i - 1, 1 - part, part};
}

CurveSums::CurveSums(const std::vector<const std::vector<double>*>& curves,
                     const std::vector<double>& factors, std::size_t sample_counts)
    : stride_(sample_counts), sums_(sample_counts, 0.0), missing_(1, 0) {
  for (std::size_t p = 0; p < curves.size(); ++p) {
    missing_.push_back(missing_.back() + (curves[p] == nullptr ? 1 : 0));
    for (std::size_t s = 0; s < sample_counts; ++s) {
      const double before = sums_[p * stride_ + s];
      sums_.push_back(curves[p] == nullptr ? before : before + factors[p] * (*curves[p])[s]);
    }
  }
}

}  // namespace millrace
