#include "controller/taken_plans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTag = "plan";

/// Of STEP.json; empty for other names.
std::optional<std::int64_t> step_of(const fs::path& file) {
  const std::string name = file.stem().string();
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  const bool whole = error == std::errc{} && end == name.data() + name.size();
  if (!whole || file.extension() != ".json") return std::nullopt;
  return step;
}

}  // namespace

std::vector<std::int64_t> TakenPlans::steps() const {
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error))
    if (const auto step = step_of(entry.path())) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

TakenPlans::Files TakenPlans::files_of(std::int64_t step) const {
  return {folder_ / fmt::format("{}.json", step), folder_ / fmt::format("{}-costs.json", step)};
}

std::optional<TakenPlans::Files> TakenPlans::in_force(std::int64_t step) const {
  const std::vector<std::int64_t> all = steps();
  const auto later = std::upper_bound(all.begin(), all.end(), step);
  if (later == all.begin()) return std::nullopt;
  return files_of(*std::prev(later));
}

std::pair<Plan, Profile> TakenPlans::read(const Files& files) {
  return {plan_from_json(read_file(files.plan, kTag), files.plan.string()),
          profile_from_json(read_file(files.costs, kTag), files.costs.string())};
}

/// The plan comes last: where it is, the costs are.
void TakenPlans::add(std::int64_t step, const Plan& plan, const Profile& costs) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error)
    throw ResourceError(kTag, fmt::format("cannot make {}: {}: check the permissions",
                                          folder_.string(), error.message()));
  const Files files = files_of(step);
  write_file_atomically(files.costs, to_json(costs), kTag);
  write_file_atomically(files.plan, to_json(plan), kTag);
}

void TakenPlans::remove_after(std::int64_t step) const {
  for (const std::int64_t taken : steps()) {
    if (taken <= step) continue;
    std::error_code error;
    fs::remove(files_of(taken).plan, error);
    fs::remove(files_of(taken).costs, error);
  }
}

}  // namespace millrace
