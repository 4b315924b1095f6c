// The planner's entry points: what a request asks, what the search finds, what the plan says.

#include "framework/plan/alternatives.hpp"
#include "framework/plan/assemble.hpp"
#include "framework/plan/failure.hpp"
#include "framework/plan/plan_request.hpp"
#include "framework/plan/search.hpp"
#include "millrace/errors.hpp"
#include "millrace/plan.hpp"

namespace millrace {
namespace {

std::vector<int> all_devices(const Profile& profile) {
  std::vector<int> counts;
  for (const DeviceKind& kind : profile.kinds) counts.push_back(kind.count);
  return counts;
}

}  // namespace

std::variant<Plan, PlanFailure> search_plan(const Profile& profile, const PlanRequest& request,
                                            const SecondsClock& clock) {
  std::vector<Plan> plans = search_plans(profile, request, 1, clock);
  if (!plans.empty()) return std::move(plans.front());
  return why_no_plan(profile, request);
}

PlanFailure why_no_plan(const Profile& profile, const PlanRequest& request) {
  check_request(request, profile);
  const CostModel model(profile, device_counts(device_numbers(request, profile)),
                        request.objective);
  return explain_failure(model, request);
}

std::vector<Plan> search_plans(const Profile& profile, const PlanRequest& request, int count,
                               const SecondsClock& clock) {
  const double begin = clock ? clock() : 0;
  check_request(request, profile);
  const auto numbers = device_numbers(request, profile);
  const CostModel model(profile, device_counts(numbers), request.objective);
  SearchSpace space = make_space(request, profile, clock);
  space.forms = count;
  const SearchResult found = search(model, space);
  if (!found.best) return {};
  std::vector<Candidate> candidates = {*found.best};
  candidates.insert(candidates.end(), found.more.begin(), found.more.end());
  std::vector<Plan> plans;
  for (const Candidate& candidate : candidates) {
    Plan& plan = plans.emplace_back(assemble(model, candidate, request.objective, numbers));
    plan.optimal = found.optimal && plans.size() == 1;
    plan.bound_ns =
        plan.optimal ? plan.value_ns : plan.value_ns * found.bound_score_ns / candidate.score_ns;
    plan.search = report_of(found, model);
    plan.alternatives = list_alternatives(model, space, found, plan);
    if (clock) plan.search.seconds = clock() - begin;
  }
  return plans;
}

std::vector<StageTimes> predicted_times(const Plan& plan, const Profile& profile,
                                        std::int64_t samples) {
  MILLRACE_CHECK(samples >= 1 && samples <= plan.batch && plan.micro_batch >= 1, "plan",
                 "a step has 1 to batch samples in micro-batches of at least 1");
  const CostModel model(profile, all_devices(profile), plan.objective);
  const Batching batching(samples, plan.micro_batch);
  const auto stages = read_stages(model, plan, batching);
  std::vector<StageTimes> times;
  fill_times(pointers(stages), batching, splits_backward(plan.schedule), times);
  return times;
}

}  // namespace millrace
