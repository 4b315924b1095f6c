#pragma once
// The search: branch and bound over micro-batch, number of stages, cuts and devices, below a limit
// that rises until a plan is found below it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "framework/plan/search_space.hpp"

namespace millrace {

/// A complete plan as the search sees it.
struct Candidate {
  std::vector<StageOption> stages;
  Batching batching{1, 1};
  std::string schedule;
  double value_ns = 0;  ///< as Plan::value_ns
  double score_ns = 0;  ///< what is compared: ns per step (period: in the steady state)
};

struct SearchResult {
  std::optional<Candidate> best;
  std::optional<Candidate> best_sole;  ///< the best of one stage
  double bound_score_ns = 0;           ///< of every candidate, in the measure of score_ns
  bool optimal = false;
  std::int64_t candidates = 0;  ///< complete plans weighed
  std::int64_t states = 0;      ///< beginnings and rests of pipelines weighed
  std::int64_t peak_bytes = 0;
};

SearchResult search(const CostModel& model, const SearchSpace& space);

/// What a plan says of the search.
SearchReport report_of(const SearchResult& found, const CostModel& model);

}  // namespace millrace
