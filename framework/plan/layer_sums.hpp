#pragma once
// The costs of a profile's layers summed up by cut, so that what one cut has more than another is
// added up in constant time.

#include <map>
#include <utility>
#include <vector>

#include "framework/plan/curves.hpp"
#include "framework/plan/cuts.hpp"
#include "millrace/profile.hpp"

namespace millrace {

/// Sums of one number per layer.
class NumberSums {
 public:
  NumberSums() = default;
  /// values[position]
  NumberSums(const Cuts& cuts, const std::vector<double>& values);

  /// Over what cut `last` has more than `first`, which it holds.
  double sum(int first, int last) const { return sums_[last] - sums_[first]; }
  std::int64_t bytes() const { return static_cast<std::int64_t>(sums_.size() * sizeof(double)); }

 private:
  std::vector<double> sums_;
};

/// The layers of a stage that are divided by output features: what cut `last` has more.
struct FeatureRun {
  int first = 0, last = 0;

  bool empty() const { return first >= last; }
  bool operator==(const FeatureRun&) const = default;
};

/// Layers that can be divided by output features.
struct SliceableLayers {
  std::vector<bool> starts, members;  ///< by position: what a run may begin with, and hold
  NumberSums start_count;

  FeatureRun run(const Cuts& cuts, int first, int last) const;
};

/// Over n devices of one kind.
struct FeatureSums {
  LoadedSums times;
  SliceableLayers layers;
};

/// Immutable once made.
struct LayerSums {
  using KindWidth = std::pair<int, int>;

  LayerSums(const Profile& profile, int most_cuts);

  PlanGraph graph;
  Cuts cuts;
  std::vector<LoadedSums> singles;                      ///< [kind]: one device
  std::map<KindWidth, LoadedSums> threads;              ///< one replica of several threads
  std::map<KindWidth, FeatureSums> features;            ///< even slices of the output features
  SliceableLayers sliceable;                            ///< over devices of several kinds
  std::vector<NumberSums> update_alone, update_loaded;  ///< [kind], ns per step on one device
  std::vector<NumberSums> reduce_alone, reduce_loaded;  ///< the same of layers with gradients
  NumberSums weights_bytes, saved_bytes, deferred_bytes;
  NumberSums gradient_bytes;     ///< one replica's
  bool splits_backward = false;  ///< some layer does; else the next is empty
  NumberSums weight_gradient_bytes;
  NumberSums whole_only;  ///< layers that may not be divided by samples

  std::int64_t bytes() const;
};

}  // namespace millrace
