#pragma once
// How workers divide what they do together.

#include <cstddef>
#include <numeric>
#include <vector>

namespace millrace {

/// The part begin … end of a layer's output features (rows of the weight), 0 <= begin <= end <= 1.
struct FeatureSlice {
  double begin = 0, end = 1;
};

inline std::vector<double> equal_shares(int workers) {
  return std::vector<double>(static_cast<std::size_t>(workers), 1.0 / workers);
}

/// Slice `index` of all, whose parts shares[i] sum to 1; neighbours meet exactly.
inline FeatureSlice slice_of(const std::vector<double>& shares, int index) {
  const auto own = shares.begin() + index;
  const double begin = std::accumulate(shares.begin(), own, 0.0);
  return {begin, own + 1 == shares.end() ? 1 : begin + *own};  // whatever the round-off
}

}  // namespace millrace
