#pragma once
// The search: branch and bound over micro-batch, number of stages, cuts and devices, below a limit
// that rises until a plan is found below it; any cuts are found from what it gives (any_cut.hpp).

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "framework/plan/candidates.hpp"
#include "framework/plan/search_space.hpp"

namespace millrace {

struct SearchResult {
  std::optional<Candidate> best;
  std::vector<Candidate> more;         ///< the best of other forms, best first
  std::optional<Candidate> best_sole;  ///< the best of one stage
  /// Of every candidate, in the measure of score_ns; infinity where there is none for sure.
  double bound_score_ns = 0;
  bool optimal = false;
  /// Of every candidate of several stages, whatever their cuts and lanes.
  double balance_score_ns = std::numeric_limits<double>::infinity();
  std::int64_t candidates = 0;  ///< complete plans weighed
  std::int64_t states = 0;      ///< beginnings and rests of pipelines weighed
  std::int64_t peak_bytes = 0;
};

SearchResult search(const CostModel& model, const SearchSpace& space);

/// The same without any_cut: each set of devices has one stage.
SearchResult search_contiguous(const CostModel& model, const SearchSpace& space);

/// What a plan says of the search.
SearchReport report_of(const SearchResult& found, const CostModel& model);

}  // namespace millrace
