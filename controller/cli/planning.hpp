#pragma once
// From the configuration to a plan: the request, the search, a plan of a file.

#include "controller/cli/run_config.hpp"
#include "millrace/plan.hpp"
#include "millrace/profile.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {

/// The planner's request.
PlanRequest plan_request(const RunConfig& config);

/// CPU numbers of each kind as PlanRequest takes them: one for each physical core.
std::map<std::string, std::vector<int>> cpus_by_kind(const Topology& topology);

/// Classes of --data, else the model's own.
std::int64_t classes_of(const RunConfig& config);

/// The searched plan, or the plan of config.plan_file after its check.
/// Throws NoPlanError (reason and nearest feasible request) and ConfigError.
Plan make_plan(const Profile& profile, const RunConfig& config, const PlanRequest& request);

/// A plan of a file settles the batch and the precision. Throws ConfigError where the file is no
/// plan, or one for another model, batch, algorithms or precision than the configuration asks for.
RunConfig settle_plan(RunConfig config);

/// Throws ConfigError where `costs` (of the file named) were measured with implementations that the
/// configuration leaves out.
void require_allowed(const Profile& costs, const std::string& file, const RunConfig& config);

/// Throws ConfigError where bfloat16 is asked for and this CPU does not multiply it: for what
/// measures here.
void require_precision(const RunConfig& config);

/// Throws ConfigError where the deadline has passed, or stands beside what it excludes.
void check_deadline(const RunConfig& config);

/// Data parallel over every core of request.cpus, equal shares, the whole batch at once.
Plan even_plan(const Profile& profile, const PlanRequest& request);

/// Costs of the kinds that config.cores ("all", "big", "little") and config.gpu ("auto", "none")
/// name: for a cost file, which has kinds but no CPU numbers. Of cores alone, "big" are the first
/// kind and "little" the last. Throws ConfigError for a list of CPUs.
Profile select_kinds(Profile profile, const RunConfig& config);

/// Those of stage s: "2 cores", "1 GPU", or "stage 0's 2 cores" where an earlier stage has the
/// same.
std::string cores_text(const Plan& plan, std::size_t s);

/// In a line, what sets a plan apart from those of other forms: "2 x 32 samples, 1f1b: 1 core by
/// samples -> 2 cores by features".
std::string form_of(const Plan& plan);

/// JSON, a drawing, or two lines, as asked.
std::string present_plan(const Plan& plan, const Profile& profile, bool json, bool explained);

}  // namespace millrace::cli
