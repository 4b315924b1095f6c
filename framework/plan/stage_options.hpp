#pragma once
// The ways to run a stage on a set of devices under one batching, made when first asked for.

#include <cstdint>
#include <limits>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "framework/plan/pipeline.hpp"
#include "millrace/plan.hpp"

namespace millrace {

/// What a request allows of a stage.
struct StageLimits {
  std::optional<int> max_replicas;
  bool plain = true;  ///< stages that keep what forward saved
  bool recomputed = false;
  std::optional<double> memory_bytes;  ///< of a plan
  std::string schedule = "1f1b";       ///< of plans of one stage
};

/// Not thread-safe. Options of two cuts and a state are found again until the next reset.
class StageOptions {
 public:
  /// About 50 MB of them.
  static constexpr std::size_t kMany = 30'000;

  StageOptions(const CostModel& model, const StageLimits& limits,
               std::pmr::memory_resource* memory);

  /// Forgets all options: from now on they are for this batching and for plans of one stage (sole)
  /// or of several.
  void reset(const Batching& batching, bool sole);
  const Batching& batching() const { return batching_; }

  /// Forgets them where there are more than `most` of cuts and states.
  void forget_above(std::size_t most) {
    if (known_.size() > most) known_.clear();
  }

  /// Stays valid until they are forgotten.
  std::span<const StageOption> get(int first, int last, int state);

  /// The smallest load_ns of them, without making them; infinity where there are none.
  double least_load_ns(int first, int last, int state);

  /// Of plans of one stage with other layers to compute again than were chosen; infinity where
  /// those were sure to be the best.
  double other_choice_ns() const { return other_choice_ns_; }

  /// How many were made, in all; one that is looked at for its load takes a quarter of that.
  std::int64_t made() const { return quarters_ / 4; }

 private:
  template <typename Visit>
  void visit_shapes(int first, int last, int state, const Visit& visit) const;
  double step_ns(const StageOption& sole) const;
  StageOption option_of(const StageShape& shape) const;
  void add(const StageOption& option, std::pmr::vector<StageOption>& options) const;
  void add_recomputed(const StageOption& plain, std::pmr::vector<StageOption>& options);

  const CostModel& model_;
  StageLimits limits_;
  Batching batching_{1, 1};
  bool sole_ = false;
  double other_choice_ns_ = std::numeric_limits<double>::infinity();
  std::int64_t quarters_ = 0;
  std::pmr::unordered_map<std::uint64_t, std::pmr::vector<StageOption>> known_;
};

}  // namespace millrace
