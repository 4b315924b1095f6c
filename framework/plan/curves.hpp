#pragma once
// Costs of ranges of layers at any sample count, in constant time.

#include <cstdint>
#include <vector>

#include "framework/plan/cuts.hpp"

namespace millrace {

/// Where a sample count lies between the measured ones: cost = low_weight * c[low] + high_weight *
/// c[low + 1]. Interpolation is linear in the costs, so it may follow the sum over layers.
struct SamplePoint {
  int low = 0;
  double low_weight = 0;
  double high_weight = 0;
};

/// As interpolate_ns; counts are few, so they are looked through.
inline SamplePoint sample_point(const std::vector<std::int64_t>& samples, double count) {
  const int size = static_cast<int>(samples.size());
  int i = 0;
  while (i < size && double(samples[i]) < count) ++i;
  if (i == size) return {size - 1, count / double(samples.back()), 0};
  if (i == 0 || double(samples[i]) == count) return {i, count / double(samples[i]), 0};
  const double part = (count - double(samples[i - 1])) / double(samples[i] - samples[i - 1]);
  return {i - 1, 1 - part, part};
}

/// One cost of each layer, summed up by cut. Layers without the cost make every stage that holds
/// them unusable. `first` and `last` are cuts, of which the last holds the first.
class CurveSums {
 public:
  CurveSums() = default;
  /// curves[p]: ns per sample count of position p, nullptr where there is none; scaled by
  /// factors[p].
  CurveSums(const Cuts& cuts, const std::vector<const std::vector<double>*>& curves,
            const std::vector<double>& factors, std::size_t sample_counts);

  /// True where every layer that `last` has more has the cost.
  bool covers(int first, int last) const { return missing_[last] == missing_[first]; }

  std::int64_t bytes() const {
    return static_cast<std::int64_t>(sums_.size() * sizeof(double) + missing_.size() * sizeof(int));
  }

  /// At the measured sample count i.
  double ns_at(int first, int last, std::size_t i) const {
    return sums_[last * stride_ + i] - sums_[first * stride_ + i];
  }

  /// Of 1 … most samples. Between two measured counts time per sample only rises or only falls, so
  /// these and the ends are enough.
  double least_ns_per_sample(int first, int last, const std::vector<std::int64_t>& samples,
                             std::int64_t most) const;

  /// Of `least` … most samples, the fewest ns: of few samples, no more than of more.
  double least_ns(int first, int last, const std::vector<std::int64_t>& samples, std::int64_t least,
                  std::int64_t most) const;

  double ns(int first, int last, const SamplePoint& point) const {
    const double* begin = &sums_[first * stride_ + point.low];
    const double* end = &sums_[last * stride_ + point.low];
    double result = point.low_weight * (end[0] - begin[0]);
    if (point.high_weight != 0) result += point.high_weight * (end[1] - begin[1]);
    return result;
  }

 private:
  std::size_t stride_ = 0;
  std::vector<double> sums_;  // [cut][sample count]
  std::vector<int> missing_;
};

/// Forward and backward of one way to run layers on one kind of device, and the two parts of the
/// backward; these are empty where no layer has any. A layer that has none is all input gradient.
struct PassSums {
  CurveSums forward, backward, input_gradient, weight_gradient;

  bool covers(int first, int last) const {
    return forward.covers(first, last) && backward.covers(first, last);
  }
  std::int64_t bytes() const {
    return forward.bytes() + backward.bytes() + input_gradient.bytes() + weight_gradient.bytes();
  }
};

/// The same while the plan keeps no other core busy (alone) and while it does (loaded).
struct LoadedSums {
  PassSums alone, loaded;

  const PassSums& get(bool others_busy) const { return others_busy ? loaded : alone; }
  std::int64_t bytes() const { return alone.bytes() + loaded.bytes(); }
};

/// ns for each sample and ns however many there are.
struct Line {
  double ns_per_sample = 0, constant_ns = 0;

  double ns(std::int64_t count) const { return ns_per_sample * double(count) + constant_ns; }
  double samples_within(double limit_ns) const;
};

/// What shares are balanced by: time of a replica against its samples. A view: the sums and sample
/// counts must outlive it.
struct ShareCurve {
  const std::vector<std::int64_t>* samples = nullptr;
  const PassSums* sums = nullptr;
  int first = 0, last = 0;
  int sliced_first = 0, sliced_last = 0;  ///< of these, what is not divided by samples
  double forwards = 1;                    ///< 2 where forward is computed again
  Line added;                             ///< transfers that wait for the computation
  Line floors[2];                         ///< transfers beside it: the cost is never below

  double ns(std::int64_t count) const;
  /// The largest count within `limit_ns`, up to rounding; below 1 where even one takes longer.
  double samples_within(double limit_ns) const;

 private:
  double measured_ns(std::size_t i) const;
  /// Of what is divided by samples; `of(curve, first, last)`: its time there.
  template <typename Of>
  double both_passes(const Of& of) const {
    const auto divided = [&](const CurveSums& curve) {
      return of(curve, first, last) - of(curve, sliced_first, sliced_last);
    };
    return forwards * divided(sums->forward) + divided(sums->backward);
  }
};

}  // namespace millrace
