#pragma once
// Costs of ranges of layers at any sample count, in constant time.

#include <cstdint>
#include <vector>

namespace millrace {

/// Where a sample count lies between the measured ones: cost = low_weight * c[low] + high_weight *
/// c[low + 1]. Interpolation is linear in the costs, so it may follow the sum over layers.
struct SamplePoint {
  int low = 0;
  double low_weight = 0;
  double high_weight = 0;
};

SamplePoint sample_point(const std::vector<std::int64_t>& samples, double count);

/// One cost of each layer of a chain, as prefix sums. Layers without the cost make every range that
/// holds them unusable.
class CurveSums {
 public:
  CurveSums() = default;
  /// curves[p]: ns per sample count of position p, nullptr where there is none; scaled by
  /// factors[p].
  CurveSums(const std::vector<const std::vector<double>*>& curves,
            const std::vector<double>& factors, std::size_t sample_counts);

  /// True where every layer of [first, last) has the cost.
  bool covers(int first, int last) const { return missing_[last] == missing_[first]; }

  double ns(int first, int last, const SamplePoint& point) const {
    const double* begin = &sums_[first * stride_ + point.low];
    const double* end = &sums_[last * stride_ + point.low];
    double result = point.low_weight * (end[0] - begin[0]);
    if (point.high_weight != 0) result += point.high_weight * (end[1] - begin[1]);
    return result;
  }

 private:
  std::size_t stride_ = 0;
  std::vector<double> sums_;  // [position][sample count]
  std::vector<int> missing_;
};

/// Forward and backward of one way to run layers on one kind of device.
struct PassSums {
  CurveSums forward, backward;

  bool covers(int first, int last) const {
    return forward.covers(first, last) && backward.covers(first, last);
  }
};

/// The same while the plan keeps no other core busy (alone) and while it does (loaded).
struct LoadedSums {
  PassSums alone, loaded;

  const PassSums& get(bool others_busy) const { return others_busy ? loaded : alone; }
};

}  // namespace millrace
