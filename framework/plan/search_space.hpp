#pragma once
// What the request and the profile allow of a plan.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "framework/plan/stage_options.hpp"
#include "millrace/plan.hpp"

namespace millrace {

struct SearchSpace {
  std::int64_t batch = 0;
  std::vector<std::int64_t> micro_batches;  ///< to be tried, descending
  std::vector<std::string> schedules;       ///< preferred first
  Objective objective = Objective::makespan;
  int max_stages = 0;
  bool pipelines_only = false;  ///< no plan of one stage, and few cuts
  bool any_cut = false;         ///< sets of devices may have several stages
  StageLimits stage;
  std::optional<double> memory_bytes;
  int forms = 1;                      ///< of how many forms the best plan is wanted
  std::int64_t most_work = 0;         ///< stages weighed before the search settles for a bound
  std::function<double()> time_used;  ///< of the time given, 1: all; absent: there is no end
  double time_share = 1;              ///< what this search may use of it

  bool out_of_time() const { return time_used && time_used() >= time_share; }

  /// Those that the schedules have.
  BackwardForms backward_forms() const {
    BackwardForms result{false, false};
    for (const auto& name : schedules) (splits_backward(name) ? result.apart : result.whole) = true;
    return result;
  }
};

}  // namespace millrace
