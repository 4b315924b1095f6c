// plan_table BATCH COSTS…: for each cost file what the search took, and its plan's step beside
// those of other planners under the same costs.

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <variant>

#include "bench/planners.hpp"
#include "framework/base/file.hpp"
#include "framework/clock.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

Plan searched(const Profile& profile, std::int64_t batch, Objective objective) {
  PlanRequest request;
  request.batch = batch;
  request.objective = objective;
  request.statistics = BatchStatistics::micro_batch;  // as the other planners take them
  auto found = search_plan(profile, request, steady_seconds);
  if (const auto* failure = std::get_if<PlanFailure>(&found))
    throw NoPlanError("plan", failure->reason);
  return std::get<Plan>(std::move(found));
}

void print_search(const std::string& path, const Plan& plan) {
  fmt::print("{} | {} | {} | {} | {} | {:.3f} s | {:.1f} MB | {:.2f} ms | {}\n", path,
             to_string(plan.objective), plan.search.ideals, plan.search.candidates,
             plan.search.states, plan.search.seconds, double(plan.search.peak_bytes) / 1e6,
             plan.value_ns / 1e6,
             plan.optimal ? "proved"
                          : fmt::format("at most {:.1f} % from the best",
                                        100 * (plan.value_ns / plan.bound_ns - 1)));
}

void print_planners(const Profile& profile, const std::string& path, std::int64_t batch,
                    double ours_ns) {
  std::string line = path;
  for (const Planner& planner : planners())
    line +=
        fmt::format(" | {} {:.2f}", planner.name, best_step_ns(profile, planner, batch) / ours_ns);
  fmt::print("{} times the searched plan's step\n", line);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  using namespace millrace;
  if (argc < 3) {
    std::fprintf(stderr, "usage: plan_table BATCH COSTS...\n");
    return 2;
  }
  try {
    const std::int64_t batch = std::stoll(argv[1]);
    fmt::print("costs | objective | ideals | plans | states | search | memory | value | bound\n");
    for (int i = 2; i < argc; ++i) {
      const Profile profile = profile_from_json(read_file(argv[i], "costs"), argv[i]);
      const Plan plan = searched(profile, batch, Objective::makespan);
      print_search(argv[i], plan);
      print_search(argv[i], searched(profile, batch, Objective::period));
      print_planners(profile, argv[i], batch, plan.value_ns);
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "plan_table: %s\n", error.what());
    return 2;
  }
  return 0;
}
