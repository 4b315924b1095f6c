#pragma once
// The least that the rest of a pipeline takes, by dynamic programming over (cut, devices left).

#include <cstdint>
#include <functional>
#include <limits>
#include <memory_resource>
#include <span>
#include <vector>

#include "framework/plan/bounds.hpp"
#include "framework/plan/search_space.hpp"
#include "framework/plan/stage_bound.hpp"

namespace millrace {

/// What a cut lacks, on the devices left; each at the very least, so no one pipeline need reach
/// them all. Memory and the number of stages are not looked at.
struct Rest {
  double end_ns = 0;   ///< from the arrival of the first micro-batch to the end of the step;
                       ///< objective period: ns per step in the steady state, exactly
  double back_ns = 0;  ///< from the same to the last gradient that is handed back
  RoundTrip trip;
};

/// Not thread-safe. All that it is made from outlives it.
class RestTable {
 public:
  RestTable(const CostModel& model, const SearchSpace& space, const BalanceBound& bound,
            const StageBound& stage_bound, StageOptions& options,
            std::pmr::memory_resource* memory);

  /// For the options' batching, with cuts (ascending, from the empty one to the whole) between
  /// which stages may lie. What no step below `limit_ns` can hold is left out, so a close limit
  /// makes it fast. False where stopped(), asked now and then, ended it early.
  bool fill(std::span<const int> cuts, double limit_ns, const std::function<bool()>& stopped);

  /// Of what `cut` lacks, on `state`, which the stages before it left; null where it is left out.
  const Rest* find(int state, int cut) const {
    const int place = places_[index(state, cut)];
    return place < 0 ? nullptr : &rests_[static_cast<std::size_t>(place)];
  }
  /// The cuts that have one, descending; the whole network is the first.
  std::span<const int> cuts(int state) const { return found_[static_cast<std::size_t>(state)]; }

  /// Entries made, and stages looked at to make them, in all.
  std::int64_t entries() const { return entries_; }
  std::int64_t looked_at() const { return looked_at_; }

 private:
  /// What stands before a rest.
  struct Before {
    LeastPassage least;
    int least_stages = 0, most_stages = 0;
  };

  std::size_t index(int state, int cut) const {
    return static_cast<std::size_t>(state) * cuts_ + static_cast<std::size_t>(cut);
  }
  void add(int state, int cut, const Rest& rest);
  bool may_be_used(int state, int cut) const;
  void find_rest(int state, int cut);
  bool may_follow(const LeastPassage& before, const LeastStage& own, const Rest& behind,
                  const Rest& least) const;
  void take_period(int cut, int last, int part, const Rest& behind, Rest& least);
  Before before(int state, int cut) const;
  void take_makespan(const StageOption& option, const Rest& behind, int most_behind,
                     const Before& before, Rest& least) const;
  void take_form(const StageCost& cost, const Rest& behind, int most_behind, const Before& before,
                 bool apart, Rest& least) const;
  void find_most_in_flight();
  bool period() const { return space_.objective == Objective::period; }

  const CostModel& model_;
  const SearchSpace& space_;
  const BalanceBound& bound_;
  const StageBound& stage_bound_;
  StageOptions& options_;
  const BackwardForms forms_;
  std::size_t cuts_;
  double limit_ns_ = 0;
  std::pmr::vector<int> most_in_flight_[2];  // [apart][stages behind]: the largest W
  std::pmr::vector<int> places_;             // [state][cut], in rests_
  std::pmr::vector<Rest> rests_;
  std::pmr::vector<std::pmr::vector<int>> found_;
  std::int64_t entries_ = 0, looked_at_ = 0;
};

}  // namespace millrace
