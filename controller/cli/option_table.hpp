#pragma once
// What `estimate` prints where it compares plans: over numbers of cores, batches, or both.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "controller/estimate/what_if.hpp"

namespace millrace::cli {

/// The deadline that the options were weighed against.
struct OptionDeadline {
  std::int64_t at = 0;  ///< seconds since 1970
  double left_ns = 0;
  std::size_t chosen = 0;  ///< the option with the fewest cores that is in time
};

struct OptionTable {
  std::string model;  ///< as on the command line
  std::string board;  ///< whose times are scaled from this machine's; "": none
  std::vector<PlanOption> options;
  std::optional<OptionDeadline> deadline;
};

nlohmann::ordered_json json_of(const OptionTable& table);
/// A line for each option; the one that the deadline needs is marked with "*".
std::string text_of(const OptionTable& table);

/// Chooses the fewest cores that are done `left_ns` from now, at `at`. Throws NoPlanError (tag
/// "deadline") that names the fastest option where none is, and (tag "plan") where none has a plan.
OptionDeadline choose_for_deadline(const std::vector<PlanOption>& options, std::int64_t at,
                                   double left_ns);

/// Throws NoPlanError (tag "plan"), why there is none, where no option has a plan.
void require_some_plan(const std::vector<PlanOption>& options);

}  // namespace millrace::cli
