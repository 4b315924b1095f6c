#pragma once
// The ways to run a range of layers on a set of devices under one batching, made when first asked
// for.

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
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
};

/// Not thread-safe. Options of one range and state are found again until the next reset.
class StageOptions {
 public:
  StageOptions(const CostModel& model, const StageLimits& limits,
               std::pmr::memory_resource* memory);

  /// Forgets all options: from now on they are for this batching and for plans of one stage (sole)
  /// or of several.
  void reset(const Batching& batching, bool sole);
  const Batching& batching() const { return batching_; }

  /// Stays valid until reset().
  std::span<const StageOption> get(int first, int last, int state);

 private:
  void make(int first, int last, int state, std::pmr::vector<StageOption>& options) const;
  void add(StageShape shape, std::pmr::vector<StageOption>& options) const;

  const CostModel& model_;
  StageLimits limits_;
  Batching batching_{1, 1};
  bool sole_ = false;
  std::pmr::unordered_map<std::uint64_t, std::pmr::vector<StageOption>> known_;
};

}  // namespace millrace
