#pragma once
// Where a network can be cut: its ideals, the sets of layers that hold with each layer all that it
// reads. A stage is what one cut has more than another; a chain of L layers has L + 1 cuts.

#include <bit>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "framework/plan/plan_graph.hpp"

namespace millrace {

/// What crosses a cut, per sample: what was made in it and is read outside, each tensor once.
struct Border {
  double forward_bytes = 0;
  int forward_tensors = 0;
  double backward_bytes = 0;  ///< gradients; 0 where the profile is for inference
  int backward_tensors = 0;
  bool operator==(const Border&) const = default;
};

/// Cuts are numbered: smaller ones first, 0 is empty. Positions are those of the graph's order.
/// Immutable; thread-safe.
class Cuts {
 public:
  /// Of graphs with more cuts only so many are kept: the order's own and all that cut no tail, or
  /// where those are too many, of each size those that the fewest bytes cross. A tail is a chain to
  /// a layer that nobody reads, beside other readers of what it reads: an auxiliary head.
  static constexpr int kMost = 100'000;

  explicit Cuts(const PlanGraph& graph, int most = kMost);

  int size() const { return static_cast<int>(steps_.size()); }
  int all() const { return size() - 1; }
  /// False where some were left out.
  bool complete() const { return complete_; }

  /// The cut of the positions below this one.
  int prefix(int position) const { return prefixes_[static_cast<std::size_t>(position)]; }
  /// A cut with one layer less than cut > 0, and the position of that layer.
  int parent(int cut) const { return steps_[static_cast<std::size_t>(cut)].parent; }
  int added(int cut) const { return steps_[static_cast<std::size_t>(cut)].added; }
  /// Layers in a cut.
  int count(int cut) const;
  const Border& border(int cut) const { return borders_[static_cast<std::size_t>(cut)]; }

  /// Whether `last` holds all that `first` holds.
  bool within(int first, int last) const;
  /// Calls visit(position), ascending, for what `last` has more than `first`, which it holds.
  template <typename Visit>
  void visit_members(int first, int last, const Visit& visit) const;
  /// The cut that has these positions more than `first`; -1 where that is none, or was left out.
  int with(int first, std::span<const int> positions) const;

  std::int64_t bytes() const;

 private:
  using Word = std::uint64_t;
  using Set = std::vector<Word>;  // a bit for each position
  struct Step {
    int parent = -1, added = -1;
  };
  using Ready = std::vector<std::vector<int>>;  // positions that may run next, by cut of a level

  std::span<const Word> set(int cut) const {
    return {&sets_[static_cast<std::size_t>(cut) * words_], words_};
  }
  bool enumerate(const PlanGraph& graph, int most, std::size_t widest);
  void keep_some(const PlanGraph& graph, int most);
  void keep_prefixes(const PlanGraph& graph);
  bool add_level(const Ready& ready, int begin, int most);
  bool may_add(int cut, int position) const;
  void trim_level(const PlanGraph& graph, int begin, const Set& prefix, std::size_t widest);
  Ready ready_of_level(const PlanGraph& graph, const Ready& before, int before_begin,
                       int begin) const;
  Set larger_set(int cut, int position) const;
  Border crossing(const PlanGraph& graph, int cut) const;
  int find(std::span<const Word> set) const;
  void insert(const Set& cut, Step step);
  void forget_from(int begin);

  std::size_t words_;
  bool complete_ = true;
  std::vector<Word> sets_;  // [cut][word]
  std::vector<Step> steps_;
  std::vector<int> prefixes_;
  std::vector<int> tails_;  ///< by position: which tail it is of, -1: none; empty: tails are cut
  std::vector<Border> borders_;
  std::unordered_multimap<std::uint64_t, int> by_hash_;
};

template <typename Visit>
void Cuts::visit_members(int first, int last, const Visit& visit) const {
  const auto without = set(first), with = set(last);
  for (std::size_t w = 0; w < words_; ++w) {
    for (Word more = with[w] & ~without[w]; more != 0; more &= more - 1) {
      visit(static_cast<int>(w * 64) + std::countr_zero(more));
    }
  }
}

}  // namespace millrace
