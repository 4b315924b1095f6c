#pragma once
// Sets of interchangeable devices as numbers: only how many of each kind are in the set counts.

#include <vector>

namespace millrace {

/// A state is "n_0 devices of kind 0, n_1 of kind 1, …" in a mixed radix, so that taking a part
/// away is a subtraction. With 4 + 4 + 1 devices there are 50 states.
class DeviceStates {
 public:
  /// counts[k] >= 0 devices of kind k. Throws ConfigError (tag "plan") above kMostStates.
  explicit DeviceStates(const std::vector<int>& counts);

  static constexpr long kMostStates = 100000;

  int kinds() const { return kinds_; }
  int size() const { return static_cast<int>(devices_.size()); }
  int all() const { return size() - 1; }
  int count(int state, int kind) const { return counts_[state * kinds_ + kind]; }
  /// Devices of all kinds.
  int devices(int state) const { return devices_[state]; }
  /// The only kind in the set, or -1.
  int single_kind(int state) const { return single_kind_[state]; }
  bool contains(int whole, int part) const;
  /// The state of n devices of one kind.
  int state_of(int kind, int n) const { return n * radix_[kind]; }

 private:
  int kinds_;
  std::vector<int> radix_;
  std::vector<int> counts_;  // [state][kind]
  std::vector<int> devices_, single_kind_;
};

}  // namespace millrace
