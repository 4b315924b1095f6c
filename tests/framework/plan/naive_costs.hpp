#pragma once
// Costs of one stage, written down from docs/costs.md as plainly as can be: no sums kept, nothing
// shared with the planner.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace::oracle {

using Counts = std::vector<int>;  // devices of each kind
using Set = std::uint32_t;        // of layers: bit p for "lp"

inline bool in(Set set, int p) { return (set >> p & 1) != 0; }
inline int number_of(const std::string& layer) { return std::stoi(layer.substr(1)); }

struct Shape {
  Set first = 0, last = 0;  // the layers of the stages before, and with this one's
  Counts devices;
  Split split = Split::samples;
  int width = 1;
  bool recompute = false;
  Set again = 0;  // recomputed where not all are
  auto operator<=>(const Shape&) const = default;
};

/// What one device spends on one micro-batch.
struct Device {
  double forward = 0, backward = 0;                // without links
  double input_gradient = 0, weight_gradient = 0;  // the same backward in two parts
  double in_forward = 0, out_forward = 0, in_backward = 0, out_backward = 0;
};

struct Stage {
  std::vector<int> kinds;  // of each replica
  std::vector<std::int64_t> shares;
  std::vector<Device> full, rest;  // of each replica
  double reduce = 0, update = 0;
  double fixed = 0, flight = 0;  // bytes, bytes per sample
  double kept = 0;               // bytes per sample between the two parts of backward
};

/// Micro-batches between forward and backward, and between backward and weight gradient.
struct Flight {
  std::int64_t backward = 0, weights = 0;
};

/// How the batch is cut.
struct Cut {
  std::int64_t batch = 0, b = 0, M = 0, rest = 0;
};

class NaiveCosts {
 public:
  /// Layers must be named "l0", "l1", … in an order in which they can run (their place in the file
  /// is free), at most 32.
  NaiveCosts(const Profile& profile, Objective objective);

  Set all() const { return static_cast<Set>((std::uint64_t{1} << layers_.size()) - 1); }
  /// Whether each layer of the set comes with all that it reads.
  bool is_ideal(Set set) const;
  bool legal(const Shape& shape, std::int64_t b) const;
  Stage stage(const Shape& shape, bool sole, const Cut& cut) const;
  bool devices_fit(const Shape& shape, const Stage& stage, const Cut& cut,
                   const Flight& flight) const;
  /// Of one device for its part of a micro-batch, as the objective period counts it.
  double load(const Device& device) const;

 private:
  static int all_devices(const Shape& shape);
  bool team(const std::optional<PassWidths>& passes, const std::string& kind, int width) const;
  std::vector<int> members(const Shape& shape) const;
  static bool alike(const Shape& shape);
  Set run_of(const Shape& shape) const;
  double feature_part(const Shape& shape, int kind, std::int64_t b) const;
  void add_slices(const Shape& shape, std::int64_t b, std::int64_t samples, bool sole,
                  std::vector<Device>& devices) const;
  /// Of the order in which the planner runs layers: of those that may run the first of the file.
  std::vector<int> order() const;
  double factor(const LayerCosts& layer, const std::string& kind, bool busy) const;
  Device device(const Shape& shape, int kind, std::int64_t samples, std::int64_t whole,
                bool sole) const;
  std::pair<double, int> crossing(Set before, bool backward) const;
  bool all_in(const std::vector<std::string>& names, Set set) const;
  bool any_in(const std::vector<std::string>& names, Set set) const;
  double compute(const Device& device) const;
  void share(const Shape& shape, bool sole, const Cut& cut, Stage& stage) const;
  void add_step_end(const Shape& shape, bool sole, Stage& stage) const;
  double bytes_per_weight_byte(const LayerCosts& layer) const;
  void add_memory(const Shape& shape, const Cut& cut, Stage& stage) const;
  void recompute_some(const Shape& shape, const Cut& cut, Stage& stage) const;

  const Profile& profile_;
  Objective objective_;
  std::vector<LayerCosts> layers_;  // by the number in the name
  std::vector<int> order_;
};

}  // namespace millrace::oracle
