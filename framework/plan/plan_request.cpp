#include "framework/plan/plan_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

/// Up to this batch every micro-batch size is tried; above, the smallest for each number of
/// micro-batches.
constexpr std::int64_t kEveryMicroBatch = 512;

/// Stage options that are weighed: a few seconds on one core; most plans need a hundredth of it.
constexpr std::int64_t kMostWork = 3'000'000;

[[noreturn]] void refuse(const std::string& message) { throw ConfigError("plan", message); }

void check_batch(const PlanRequest& request) {
  if (request.batch < 1 || request.batch > kLargestBatch) {
    refuse(fmt::format("the batch is {}, 1 to {} are possible: change --batch", request.batch,
                       kLargestBatch));
  }
  if (request.micro_batch && (*request.micro_batch < 1 || *request.micro_batch > request.batch)) {
    refuse(
        fmt::format("the micro-batch is {}, 1 to the batch of {} are possible: change "
                    "--micro-batch",
                    *request.micro_batch, request.batch));
  }
}

void check_schedule(const PlanRequest& request, const Profile& profile) {
  if (request.schedule == "auto") return;
  if (!profile.training) {
    if (request.schedule == "forward-only") return;
    refuse(
        fmt::format("the schedule \"{}\" is for training, and the costs are for inference: take "
                    "--schedule auto",
                    request.schedule));
  }
  const auto& names = schedule_names();
  if (std::find(names.begin(), names.end(), request.schedule) == names.end()) {
    refuse(fmt::format("\"{}\" is no schedule: take one of auto, {}", request.schedule,
                       fmt::join(names, ", ")));
  }
  if (splits_backward(request.schedule) && request.objective == Objective::period) {
    refuse(
        fmt::format("the schedule \"{}\" fills the bubbles of a step, and the objective period "
                    "has none: take --schedule auto or --objective makespan",
                    request.schedule));
  }
}

void check_any_cut(const PlanRequest& request) {
  if (!request.any_cut || request.schedule == "auto" || request.schedule == "interleaved") return;
  refuse(fmt::format(
      "--any-cut gives devices several stages, and the schedule \"{}\" runs one on each: "
      "take --schedule auto or interleaved",
      request.schedule));
}

void check_limits(const PlanRequest& request) {
  const auto at_least_one = [](const std::optional<int>& value, const char* flag) {
    if (value && *value < 1) {
      refuse(fmt::format("{} is {}, at least 1 is needed", flag, *value));
    }
  };
  at_least_one(request.max_stages, "--max-stages");
  at_least_one(request.max_replicas, "--max-replicas");
  if (request.search_seconds && !(*request.search_seconds > 0)) {
    refuse(fmt::format("--search-time is {} s, more than 0 is needed", *request.search_seconds));
  }
  if (request.memory_bytes && *request.memory_bytes < 0) {
    refuse(fmt::format("--memory is {} bytes, at least 0 are needed", *request.memory_bytes));
  }
}

void check_cpus(const PlanRequest& request, const Profile& profile) {
  std::set<int> seen;
  for (const auto& [kind, cpus] : request.cpus) {
    if (profile.kind_index(kind) < 0) {
      refuse(
          fmt::format("CPUs are given for the kind \"{}\", which the costs do not have: measure "
                      "the costs on this machine",
                      kind));
    }
    for (const int cpu : cpus) {
      if (cpu < 0) refuse(fmt::format("CPU {} of \"{}\" is no CPU number", cpu, kind));
      if (!seen.insert(cpu).second) {
        refuse(fmt::format("CPU {} is given twice: name each once", cpu));
      }
    }
  }
}

/// The layer that makes a step one micro-batch, or null.
const LayerCosts* whole_batch_layer(const PlanRequest& request, const Profile& profile) {
  if (!profile.training || request.statistics == BatchStatistics::micro_batch) return nullptr;
  for (const LayerCosts& layer : profile.layers) {
    if (layer.whole_batch) return &layer;
  }
  return nullptr;
}

std::vector<std::int64_t> micro_batches(const PlanRequest& request, const Profile& profile) {
  if (request.micro_batch) return {*request.micro_batch};
  if (whole_batch_layer(request, profile)) return {request.batch};
  std::vector<std::int64_t> result;
  for (std::int64_t b = request.batch; b > 0; --b) {
    const std::int64_t count = (request.batch + b - 1) / b;
    const std::int64_t smallest = (request.batch + count - 1) / count;
    if (b == request.batch || b == smallest || request.batch <= kEveryMicroBatch) {
      result.push_back(b);
    }
  }
  return result;
}

/// 1F1B first: none needs less memory. Zero-bubble where something can run apart, and bubbles
/// count.
std::vector<std::string> schedules(const PlanRequest& request, const Profile& profile) {
  if (!profile.training) return {"forward-only"};
  if (request.schedule != "auto") return {request.schedule};
  if (profile.splits_backward() && request.objective == Objective::makespan)
    return {"1f1b", "fill-drain", "zero-bubble"};
  return {"1f1b", "fill-drain"};
}

bool any_budget(const PlanRequest& request, const Profile& profile) {
  return memory_budget(request, profile).has_value() ||
         std::any_of(profile.kinds.begin(), profile.kinds.end(),
                     [](const DeviceKind& kind) { return kind.memory_bytes.has_value(); });
}

/// Recomputation costs time and saves memory only: without a budget it is not tried.
StageLimits stage_limits(const PlanRequest& request, const Profile& profile) {
  StageLimits limits;
  limits.max_replicas = request.max_replicas;
  if (!profile.training) return limits;
  limits.plain = request.recompute != RecomputePolicy::all;
  limits.recomputed =
      request.recompute == RecomputePolicy::all ||
      (request.recompute == RecomputePolicy::automatic && any_budget(request, profile));
  return limits;
}

}  // namespace

void check_micro_batch(const PlanRequest& request, const std::string& layer) {
  const bool one = !request.micro_batch || *request.micro_batch == request.batch;
  if (one || request.statistics == BatchStatistics::micro_batch) return;
  refuse(fmt::format(
      "the micro-batch is {}, layer \"{}\" takes statistics of the whole batch of {}: "
      "leave out --micro-batch, or the plan that has it, or allow --batch-norm micro-batch",
      *request.micro_batch, layer, request.batch));
}

void check_request(const PlanRequest& request, const Profile& profile) {
  check_batch(request);
  if (const LayerCosts* layer = whole_batch_layer(request, profile))
    check_micro_batch(request, layer->name);
  check_schedule(request, profile);
  check_any_cut(request);
  check_limits(request);
  check_cpus(request, profile);
}

std::vector<std::vector<int>> device_numbers(const PlanRequest& request, const Profile& profile) {
  std::set<int> used;
  for (const auto& [kind, cpus] : request.cpus) used.insert(cpus.begin(), cpus.end());
  int next = 0;
  std::vector<std::vector<int>> result;
  for (const DeviceKind& kind : profile.kinds) {
    auto& numbers = result.emplace_back();
    const auto given = request.cpus.find(kind.name);
    if (given != request.cpus.end()) {
      const auto count = std::min<std::size_t>(given->second.size(), kind.count);
      numbers.assign(given->second.begin(), given->second.begin() + count);
      continue;
    }
    while (static_cast<int>(numbers.size()) < kind.count) {
      while (used.contains(next)) ++next;
      numbers.push_back(next++);
    }
  }
  return result;
}

std::vector<int> device_counts(const std::vector<std::vector<int>>& numbers) {
  std::vector<int> counts;
  for (const auto& cpus : numbers) counts.push_back(static_cast<int>(cpus.size()));
  if (std::all_of(counts.begin(), counts.end(), [](int n) { return n == 0; })) {
    refuse("no device is left to plan for: allow at least one CPU with --cores");
  }
  return counts;
}

std::optional<double> memory_budget(const PlanRequest& request, const Profile& profile) {
  if (!request.memory_bytes) return profile.shared_memory_bytes;
  const double asked = double(*request.memory_bytes);
  return profile.shared_memory_bytes ? std::min(asked, *profile.shared_memory_bytes) : asked;
}

SearchSpace make_space(const PlanRequest& request, const Profile& profile,
                       const SecondsClock& clock) {
  SearchSpace space;
  space.batch = request.batch;
  space.micro_batches = micro_batches(request, profile);
  space.schedules = schedules(request, profile);
  space.objective = request.objective;
  space.any_cut = request.any_cut || request.schedule == "interleaved";
  space.max_stages = request.max_stages.value_or(static_cast<int>(profile.layers.size()));
  space.stage = stage_limits(request, profile);
  space.memory_bytes = space.stage.memory_bytes = memory_budget(request, profile);
  space.stage.schedule = space.schedules.front();
  space.most_work = kMostWork;
  if (request.search_seconds && clock) {
    space.most_work = std::numeric_limits<std::int64_t>::max();
    space.time_used = [clock, begin = clock(), seconds = *request.search_seconds] {
      return (clock() - begin) / seconds;
    };
  }
  return space;
}

}  // namespace millrace
