#pragma once
// Ways to run the parts of an order of layers on given sets of devices.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "framework/plan/arrangements.hpp"
#include "framework/plan/pipeline.hpp"
#include "framework/plan/search_space.hpp"

namespace millrace {

/// How the devices of a lane work: alike for all of its stages.
struct LaneForm {
  int state = 0, width = 1;
  bool recompute = false;
  bool operator==(const LaneForm&) const = default;
};

/// The cheapest ways, made when first asked for. Not thread-safe; model and space outlive it.
class LaneOptions {
 public:
  /// `order`: of positions, such as the layers can run in.
  LaneOptions(const CostModel& model, const SearchSpace& space, std::vector<LaneForm> forms,
              const std::vector<int>& order);

  int layers() const { return static_cast<int>(cuts_.size()) - 1; }
  int forms() const { return static_cast<int>(forms_.size()); }
  Batching batching(int micro_batch) const {
    return {space_.batch, space_.micro_batches[static_cast<std::size_t>(micro_batch)]};
  }

  /// The piece from layer `first` of the order on; null where its lane cannot run it.
  const StageOption* get(int first, const Piece& piece, int micro_batch);
  /// Forward and backward of a full micro-batch; infinity where the lane cannot run it.
  double ns(int first, const Piece& piece, int micro_batch);

  /// About what is kept.
  std::int64_t bytes() const {
    return static_cast<std::int64_t>(options_.size() * (sizeof(StageOption) + 64));
  }

 private:
  std::optional<StageOption> cheapest(int first, const Piece& piece, const Batching& step) const;

  const CostModel& model_;
  const SearchSpace& space_;
  std::vector<LaneForm> forms_;
  std::vector<int> cuts_;  ///< [layers of the order]; -1: not kept
  std::map<std::tuple<int, int, int, int>, std::optional<StageOption>> options_;
};

}  // namespace millrace
