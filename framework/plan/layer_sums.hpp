#pragma once
// The costs of a profile's chain as prefix sums, so that any range of layers is added up in
// constant time. Positions are those of the chain.

#include <map>
#include <utility>
#include <vector>

#include "framework/plan/chain.hpp"
#include "framework/plan/curves.hpp"
#include "millrace/profile.hpp"

namespace millrace {

/// Sums of one number per layer.
class NumberSums {
 public:
  NumberSums() : sums_(1, 0.0) {}
  void add(double value) { sums_.push_back(sums_.back() + value); }
  double sum(int first, int last) const { return sums_[last] - sums_[first]; }

 private:
  std::vector<double> sums_;
};

/// The layers of a stage that are divided by output features: positions [first, last).
struct FeatureRun {
  int first = 0, last = 0;

  bool empty() const { return first >= last; }
  bool operator==(const FeatureRun&) const = default;
};

/// Layers divided by output features over n devices of one kind.
struct FeatureSums {
  LoadedSums times;
  std::vector<int> next_start;  ///< first position >= p where a run may start; size() if none
  std::vector<int> run_end;     ///< end of the run that starts at p

  FeatureRun run(int first, int last) const;
};

/// Immutable once made.
struct LayerSums {
  using KindWidth = std::pair<int, int>;

  LayerSums(const Profile& profile, Chain in_order);

  Chain chain;
  std::vector<LoadedSums> singles;                      ///< [kind]: one device
  std::map<KindWidth, LoadedSums> threads;              ///< one replica of several threads
  std::map<KindWidth, FeatureSums> features;            ///< slices of the output features
  std::vector<NumberSums> update_alone, update_loaded;  ///< [kind], ns per step on one device
  std::vector<NumberSums> reduce_alone, reduce_loaded;  ///< the same of layers with gradients
  NumberSums weights_bytes, saved_bytes, deferred_bytes;
  NumberSums gradient_bytes;  ///< one replica's
  NumberSums whole_only;      ///< layers that may not be divided by samples
  std::vector<double> workspace_bytes;
};

}  // namespace millrace
