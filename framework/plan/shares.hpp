#pragma once
// How many samples of a micro-batch each replica of a stage computes.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace millrace {

constexpr int kMostKinds = 8;

/// Replicas of one kind with the same number of samples.
struct ShareGroup {
  int kind = 0;
  int replicas = 0;
  std::int64_t samples = 0;
};

/// Groups in the order of the replicas: by kind, larger shares first. No memory is taken: the
/// search makes very many of them.
class ShareGroups {
 public:
  static constexpr int kMostGroups = 2 * kMostKinds;

  void add(int kind, int replicas, std::int64_t samples) {
    if (replicas > 0) groups_[static_cast<std::size_t>(size_++)] = {kind, replicas, samples};
  }
  const ShareGroup* begin() const { return groups_.data(); }
  const ShareGroup* end() const { return groups_.data() + size_; }
  int size() const { return size_; }

 private:
  std::array<ShareGroup, kMostGroups> groups_;
  int size_ = 0;
};

/// n replicas share `samples` as evenly as whole numbers allow.
inline void add_even(ShareGroups& groups, int kind, int replicas, std::int64_t samples) {
  const auto larger = static_cast<int>(samples % replicas);
  groups.add(kind, larger, samples / replicas + 1);
  groups.add(kind, replicas - larger, samples / replicas);
}

/// Finds the shares with the smallest largest cost.
class ShareBalancer {
 public:
  /// Replicas of kinds 0 .. kinds - 1; replicas[k] may be 0.
  ShareBalancer(const std::array<int, kMostKinds>& replicas, int kinds)
      : replicas_(replicas), kinds_(kinds) {}

  /// costs[k].ns(x): of x samples on one replica of kind k; costs[k].samples_within(ns): about how
  /// many it computes in that time. The result is the best where no cost falls with x. Every
  /// replica gets at least one sample: REQUIRES samples >= all replicas >= 1.
  template <typename Cost>
  ShareGroups balance(std::int64_t samples, const std::array<Cost, kMostKinds>& costs) const {
    Totals totals = below_deadline(samples, costs);
    std::array<double, kMostKinds> next_ns{};
    std::int64_t left = samples;
    for (int k = 0; k < kinds_; ++k) {
      left -= totals[k];
      if (replicas_[k] > 0) next_ns[k] = costs[k].ns(totals[k] / replicas_[k] + 1);
    }
    for (; left > 0; --left) {
      const int k = earliest(next_ns);
      ++totals[k];
      next_ns[k] = costs[k].ns(totals[k] / replicas_[k] + 1);
    }
    ShareGroups groups;
    for (int k = 0; k < kinds_; ++k) {
      if (replicas_[k] > 0) add_even(groups, k, replicas_[k], totals[k]);
    }
    return groups;
  }

 private:
  using Totals = std::array<std::int64_t, kMostKinds>;

  /// Handing out samples one by one to whoever would finish first is best, and stays so from any
  /// start below the smallest deadline: this one leaves few to hand out.
  template <typename Cost>
  Totals below_deadline(std::int64_t samples, const std::array<Cost, kMostKinds>& costs) const {
    const int fastest = fastest_kind(costs);
    std::int64_t low = 0, high = samples;  // shares of the fastest kind: too few, too many
    Totals best{};
    for (int k = 0; k < kinds_; ++k) best[k] = replicas_[k];
    while (high - low > 1) {
      const std::int64_t middle = (low + high) / 2;
      const double deadline = costs[fastest].ns(middle);
      const Totals most = done_within(deadline, kRounding, costs);
      if (std::accumulate(most.begin(), most.end(), std::int64_t{0}) <= samples) {
        low = middle;
        best = done_within(deadline, -kRounding, costs);
      } else {
        high = middle;
      }
    }
    return best;
  }

  /// samples_within is right up to this: rounded up where too many would be wrong, else down.
  static constexpr double kRounding = 1e-6;

  /// At least one sample for every replica.
  template <typename Cost>
  Totals done_within(double ns, double rounding, const std::array<Cost, kMostKinds>& costs) const {
    constexpr double kMost = 1e9;
    Totals totals{};
    for (int k = 0; k < kinds_; ++k) {
      if (replicas_[k] == 0) continue;
      const double share = std::min(kMost, std::floor(costs[k].samples_within(ns) + rounding));
      totals[k] = replicas_[k] * std::max<std::int64_t>(1, std::int64_t(share));
    }
    return totals;
  }

  template <typename Cost>
  int fastest_kind(const std::array<Cost, kMostKinds>& costs) const {
    int fastest = -1;
    for (int k = 0; k < kinds_; ++k) {
      if (replicas_[k] > 0 && (fastest < 0 || costs[k].ns(1) < costs[fastest].ns(1))) fastest = k;
    }
    return fastest;
  }

  int earliest(const std::array<double, kMostKinds>& next_ns) const {
    int earliest = -1;
    for (int k = 0; k < kinds_; ++k) {
      if (replicas_[k] > 0 && (earliest < 0 || next_ns[k] < next_ns[earliest])) earliest = k;
    }
    return earliest;
  }

  std::array<int, kMostKinds> replicas_;
  int kinds_;
};

/// Calls visit(group) with the shares of a micro-batch of `samples` where `groups` are those of a
/// full one of `full` samples: shares_of of plan.hpp, without memory.
template <typename Visit>
void visit_shares_of(const ShareGroups& groups, std::int64_t full, std::int64_t samples,
                     const Visit& visit) {
  std::array<int, ShareGroups::kMostGroups> order;
  std::array<std::int64_t, ShareGroups::kMostGroups> remainder;
  std::int64_t left = samples;
  int i = 0;
  for (const ShareGroup& group : groups) {
    remainder[i] = group.samples * samples % full;
    left -= group.replicas * (group.samples * samples / full);
    order[i] = i;
    ++i;
  }
  std::sort(order.begin(), order.begin() + i, [&](int a, int b) {
    return remainder[a] != remainder[b] ? remainder[a] > remainder[b] : a < b;
  });
  for (int place = 0; place < i; ++place) {
    const ShareGroup& group = groups.begin()[order[place]];
    const std::int64_t base = group.samples * samples / full;
    const auto larger = static_cast<int>(std::min<std::int64_t>(left, group.replicas));
    left -= larger;
    if (larger > 0) visit(ShareGroup{group.kind, larger, base + 1});
    if (larger < group.replicas) visit(ShareGroup{group.kind, group.replicas - larger, base});
  }
}

}  // namespace millrace
