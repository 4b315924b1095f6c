#pragma once
// The search: branch and bound over micro-batch, number of stages, cuts and devices.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "framework/plan/bounds.hpp"
#include "framework/plan/counting_memory.hpp"
#include "framework/plan/stage_options.hpp"
#include "millrace/plan.hpp"

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
  std::int64_t candidates = 0;
  std::int64_t peak_bytes = 0;
};

/// What the request and the profile allow.
struct SearchSpace {
  std::int64_t batch = 0;
  std::vector<std::int64_t> micro_batches;  ///< to be tried, descending
  std::vector<std::string> schedules;       ///< preferred first
  Objective objective = Objective::makespan;
  int max_stages = 0;
  StageLimits stage;
  std::optional<double> memory_bytes;
  std::int64_t most_options = 0;  ///< stage options weighed before the search settles for a bound
};

SearchResult search(const CostModel& model, const SearchSpace& space);

}  // namespace millrace
