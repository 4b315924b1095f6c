#pragma once
// How many samples of a micro-batch each replica of a stage computes.

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

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
      : replicas_(replicas), kinds_(kinds) {
    for (int k = 0; k < kinds_; ++k) all_ += replicas_[k];
  }

  /// cost(kind, x): ns of x samples on one replica; the result is the best where it does not fall
  /// with x. Every replica gets at least one sample: REQUIRES samples >= all replicas >= 1.
  template <typename Cost>
  ShareGroups balance(std::int64_t samples, const Cost& cost) const {
    const double deadline = smallest_deadline(samples, cost);
    std::array<std::int64_t, kMostKinds> total{};
    std::int64_t surplus = -samples;
    for (int k = 0; k < kinds_; ++k) {
      if (replicas_[k] == 0) continue;
      total[k] = replicas_[k] * capacity(k, deadline, samples, cost);
      surplus += total[k];
    }
    give_back(surplus, total, cost);
    ShareGroups groups;
    for (int k = 0; k < kinds_; ++k) {
      if (replicas_[k] > 0) add_even(groups, k, replicas_[k], total[k]);
    }
    return groups;
  }

 private:
  /// Samples that a replica of kind k finishes by the deadline, between 1 and what the others
  /// leave: each of them needs a sample, too.
  template <typename Cost>
  std::int64_t capacity(int k, double deadline, std::int64_t samples, const Cost& cost) const {
    std::int64_t low = 1, high = samples - all_ + 1;
    while (low < high) {
      const std::int64_t middle = (low + high + 1) / 2;
      if (cost(k, middle) <= deadline) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

  template <typename Cost>
  bool enough(double deadline, std::int64_t samples, const Cost& cost) const {
    std::int64_t sum = 0;
    for (int k = 0; k < kinds_ && sum < samples; ++k) {
      if (replicas_[k] > 0) sum += replicas_[k] * capacity(k, deadline, samples, cost);
    }
    return sum >= samples;
  }

  /// The deadline is the cost of some kind at some share: bisects over each kind's shares.
  template <typename Cost>
  double smallest_deadline(std::int64_t samples, const Cost& cost) const {
    double best = std::numeric_limits<double>::infinity();
    for (int k = 0; k < kinds_; ++k) {
      if (replicas_[k] == 0) continue;
      std::int64_t low = 1, high = samples - all_ + 1;
      if (cost(k, low) >= best) continue;
      if (!enough(cost(k, high), samples, cost)) continue;
      while (low < high) {
        const std::int64_t middle = (low + high) / 2;
        if (enough(cost(k, middle), samples, cost)) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      best = std::min(best, cost(k, low));
    }
    return best;
  }

  /// Takes the surplus off the replicas that would finish last, the slower kind first.
  template <typename Cost>
  void give_back(std::int64_t surplus, std::array<std::int64_t, kMostKinds>& total,
                 const Cost& cost) const {
    for (; surplus > 0; --surplus) {
      int last = -1;
      double latest = -1;
      for (int k = 0; k < kinds_; ++k) {
        if (replicas_[k] == 0 || total[k] <= replicas_[k]) continue;
        const double end = cost(k, (total[k] + replicas_[k] - 1) / replicas_[k]);
        if (end >= latest) {
          latest = end;
          last = k;
        }
      }
      --total[last];
    }
  }

  std::array<int, kMostKinds> replicas_;
  int kinds_;
  std::int64_t all_ = 0;
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
