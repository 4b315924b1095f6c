#include "framework/plan/alternatives.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "framework/plan/partial_recompute.hpp"
#include "framework/plan/pipeline.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

/// One stage with all layers: its best value over micro-batches and schedules, or why there is
/// none.
struct Outcome {
  std::optional<double> score_ns;
  std::string reason;
};

class SoleStages {
 public:
  SoleStages(const CostModel& model, const SearchSpace& space) : model_(model), space_(space) {}

  Outcome weigh(StageShape shape, bool even) const {
    Outcome outcome;
    outcome.reason = model_.why_not(shape);
    if (!outcome.reason.empty()) return outcome;
    for (const bool recompute : {false, true}) {
      if (!(recompute ? space_.stage.recomputed : space_.stage.plain)) continue;
      shape.recompute = recompute;
      for (const std::int64_t micro_batch : space_.micro_batches) {
        weigh(shape, Batching(space_.batch, micro_batch), even, outcome);
      }
    }
    if (outcome.score_ns) outcome.reason.clear();
    return outcome;
  }

  StageShape whole(int state, Split split, int width) const {
    return model_.shape(0, model_.cuts().all(), state, split, width, true);
  }

 private:
  void weigh(const StageShape& shape, const Batching& batching, bool even, Outcome& outcome) const {
    const int replicas = model_.replicas(shape);
    const int most = space_.stage.max_replicas.value_or(replicas);
    if (replicas > most) {
      say_once(fmt::format("{} replicas, --max-replicas allows {}", replicas, most), outcome);
      return;
    }
    if (replicas > batching.full) {
      say_once(fmt::format("{} replicas need a micro-batch of as many samples", replicas), outcome);
      return;
    }
    const ShareGroups shares =
        even ? model_.even_shares(shape, batching.full) : model_.best_shares(shape, batching.full);
    const StageOption plain{shape, shares, model_.cost(shape, batching, shares)};
    const StageOption smaller = within_budget(plain, batching);
    for (const auto& schedule : space_.schedules) {
      const StageOption& option = over_budget(plain, batching, schedule).empty() ? plain : smaller;
      const std::string reason = over_budget(option, batching, schedule);
      if (!reason.empty()) {
        say_once(reason, outcome);
        continue;
      }
      const double score = score_ns(option, batching, schedule);
      if (!outcome.score_ns || score < *outcome.score_ns) outcome.score_ns = score;
    }
  }

  /// With some layers computed again, where that is allowed and enough.
  StageOption within_budget(const StageOption& plain, const Batching& batching) const {
    const InFlight flight = in_flight(space_.schedules.front(), 1, 0, batching.count);
    if (plain.shape.recompute || !space_.stage.recomputed || !space_.memory_bytes ||
        CostModel::memory_bytes(plain.cost, batching, flight) <= *space_.memory_bytes)
      return plain;
    const auto found = recomputed_within(model_, plain, batching, flight, *space_.memory_bytes);
    return found ? found->option : plain;
  }

  /// The reason of the largest micro-batch, which is tried first, says most.
  static void say_once(const std::string& reason, Outcome& outcome) {
    if (outcome.reason.empty()) outcome.reason = reason;
  }

  std::string over_budget(const StageOption& option, const Batching& batching,
                          const std::string& schedule) const {
    const InFlight flight = in_flight(schedule, 1, 0, batching.count);
    const double bytes = CostModel::memory_bytes(option.cost, batching, flight);
    if (space_.memory_bytes && bytes > *space_.memory_bytes) {
      return fmt::format("needs {}, the budget is {}", format_bytes(bytes),
                         format_bytes(*space_.memory_bytes));
    }
    const auto broken = model_.broken_budget(option.shape, batching, option.shares, flight);
    if (!broken) return "";
    return fmt::format("needs {} on \"{}\", which has {}", format_bytes(broken->needed_bytes),
                       broken->kind, format_bytes(broken->budget_bytes));
  }

  double score_ns(const StageOption& option, const Batching& batching,
                  const std::string& schedule) const {
    const StageOption* const stages[] = {&option};
    if (space_.objective == Objective::period) {
      return period_ns(stages) * double(batching.batch) / double(batching.full);
    }
    std::vector<StageTimes> times;
    fill_times(stages, batching, splits_backward(schedule), times);
    return simulate_makespan_ns(make_schedule(schedule, 1, static_cast<int>(batching.count)),
                                times);
  }

  const CostModel& model_;
  const SearchSpace& space_;
};

class Alternatives {
 public:
  Alternatives(const CostModel& model, const SearchSpace& space, const SearchResult& found,
               const Plan& plan)
      : model_(model), stages_(model, space), found_(found), plan_(plan) {}

  std::vector<PlanAlternative> list() {
    const int fastest = add_one_core();
    add_threads(fastest);
    add_even();
    if (plan_.stages.size() > 1) {
      add("best single stage",
          {found_.best_sole ? std::optional(found_.best_sole->score_ns) : std::nullopt,
           "no single stage fits the budgets and limits"},
          "every device runs every layer");
    }
    return std::move(result_);
  }

 private:
  /// Score of the plan itself over its value: 1, or micro-batches per step.
  double scale() const {
    if (plan_.objective == Objective::makespan) return 1;
    return double(plan_.batch) / double(plan_.micro_batch);
  }

  /// `cause`: why it is slower, if it is.
  void add(const std::string& name, const Outcome& outcome, const std::string& cause) {
    PlanAlternative alternative{name, std::nullopt, outcome.reason};
    if (outcome.score_ns) {
      alternative.value_ns = *outcome.score_ns / scale();
      const bool same = is_plan(name) && difference(*alternative.value_ns) == 0;
      alternative.why_not = same ? "is the plan" : compare(*alternative.value_ns, cause);
    }
    result_.push_back(std::move(alternative));
  }

  /// By which part it is slower than the plan; 0 where that is not noticed.
  double difference(double value_ns) const {
    constexpr double kNoticed = 5e-4;
    const double slower = plan_.value_ns > 0 ? value_ns / plan_.value_ns - 1 : 0;
    return std::abs(slower) > kNoticed ? slower : 0;
  }

  std::string compare(double value_ns, const std::string& cause) const {
    const double slower = difference(value_ns);
    if (slower > 0) return fmt::format("{:.1f} % slower: {}", 100 * slower, cause);
    return slower < 0 ? fmt::format("{:.1f} % faster", -100 * slower) : "as fast as the plan";
  }

  bool is_plan(const std::string& name) const {
    if (plan_.stages.size() != 1) return false;
    const PlanStage& stage = plan_.stages.front();
    const auto devices = static_cast<int>(stage.devices.size());
    if (name == "one core") return devices == 1;
    if (name == "threads") {
      const int kind = model_.profile().kind_index(stage.devices.front().kind);
      return stage.split == Split::threads && stage.workers() == 1 &&
             devices == model_.states().count(model_.states().all(), kind);
    }
    const auto [low, high] = std::minmax_element(stage.shares.begin(), stage.shares.end());
    return stage.split == Split::samples && *high - *low <= 1 && devices == all_devices();
  }

  int all_devices() const { return model_.states().devices(model_.states().all()); }

  std::string idle(int used) const {
    return fmt::format("{} of {} devices idle", all_devices() - used, all_devices());
  }

  /// The fastest kind: on whose single device the whole model takes the least time.
  int add_one_core() {
    const DeviceStates& states = model_.states();
    int fastest = -1;
    Outcome best;
    for (int kind = 0; kind < states.kinds(); ++kind) {
      if (states.count(states.all(), kind) == 0) continue;
      const Outcome outcome =
          stages_.weigh(stages_.whole(states.state_of(kind, 1), Split::samples, 1), false);
      const bool better =
          outcome.score_ns && (!best.score_ns || *outcome.score_ns < *best.score_ns);
      if (better || fastest < 0) {
        best = outcome;
        fastest = kind;
      }
    }
    add("one core", best, idle(1));
    one_core_ns_ = best.score_ns.value_or(0);
    return fastest;
  }

  void add_threads(int kind) {
    const DeviceStates& states = model_.states();
    const int count = states.count(states.all(), kind);
    if (count < 2) {
      add("threads",
          {std::nullopt,
           fmt::format("there is only one device of \"{}\"", model_.profile().kinds[kind].name)},
          "");
      return;
    }
    const Outcome outcome =
        stages_.weigh(stages_.whole(states.state_of(kind, count), Split::threads, count), false);
    const double gain = outcome.score_ns.value_or(0) > 0 ? one_core_ns_ / *outcome.score_ns : 0;
    add("threads", outcome,
        count < all_devices()
            ? idle(count)
            : fmt::format("{} threads are {:.2f} times as fast as one", count, gain));
  }

  void add_even() {
    const DeviceStates& states = model_.states();
    if (all_devices() < 2) {
      add("even data parallel", {std::nullopt, "there is only one device"}, "");
      return;
    }
    add("even data parallel", stages_.weigh(stages_.whole(states.all(), Split::samples, 1), true),
        states.single_kind(states.all()) < 0 ? "the slowest kind sets the pace"
                                             : "every replica works with all weights");
  }

  const CostModel& model_;
  SoleStages stages_;
  const SearchResult& found_;
  const Plan& plan_;
  double one_core_ns_ = 0;
  std::vector<PlanAlternative> result_;
};

}  // namespace

std::vector<PlanAlternative> list_alternatives(const CostModel& model, const SearchSpace& space,
                                               const SearchResult& found, const Plan& plan) {
  return Alternatives(model, space, found, plan).list();
}

}  // namespace millrace
