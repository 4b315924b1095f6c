#pragma once
// From the configuration to a plan: the request, the batch where it is left open, a plan of a file.

#include "controller/cli/run_config.hpp"
#include "millrace/plan.hpp"
#include "millrace/profile.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {

/// The planner's request; a batch that is left open is the largest that is tried (64).
PlanRequest plan_request(const RunConfig& config);

/// CPU numbers of each kind, as PlanRequest takes them.
std::map<std::string, std::vector<int>> cpus_by_kind(const Topology& topology);

/// The searched plan, or the plan of config.plan_file after its check. An open batch is halved from
/// 64 until a plan fits the memory. Throws NoPlanError (reason and nearest feasible request) and
/// ConfigError.
Plan make_plan(const Profile& profile, const RunConfig& config, PlanRequest request);

/// Data parallel over every core of request.cpus, equal shares, the whole batch at once.
Plan even_plan(const Profile& profile, const PlanRequest& request);

/// Costs of the kinds that `cores` names ("all", "big", "little"): for a cost file, which has kinds
/// but no CPU numbers. Throws ConfigError for a list of CPUs.
Profile select_kinds(Profile profile, const std::string& cores);

/// JSON, a drawing, or two lines, as asked.
std::string present_plan(const Plan& plan, const Profile& profile, bool json, bool explained);

}  // namespace millrace::cli
