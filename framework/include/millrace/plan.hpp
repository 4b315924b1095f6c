#pragma once
// Which layers form which stage, which cores run it and how: the result of the partition search.
// Symbols: stage s, micro-batch m, replica r, layer l; P stages, M micro-batches of b samples.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "millrace/profile.hpp"

namespace millrace {

struct StageTimes;

struct PlannedDevice {
  std::string kind;
  int cpu = 0;
  bool operator==(const PlannedDevice&) const = default;
};

/// How the devices of a stage share its work.
///  samples:  replica r computes shares[r] samples of every micro-batch (data parallel).
///  threads:  replicas of devices.size() / shares.size() threads each (one replica as a rule).
///  features: one worker per device. The layers of `feature_layers` are divided by output features,
///            each worker computing its slice for the whole micro-batch; the other layers of the
///            stage are divided by samples, shares[r] each.
enum class Split { samples, threads, features };

struct Implementation {
  std::string forward, input_gradient, weight_gradient;
  bool operator==(const Implementation&) const = default;
};

struct PlanStage {
  std::vector<std::string> layers;  ///< in execution order
  std::vector<PlannedDevice> devices;
  std::vector<std::int64_t> shares;  ///< samples of a full micro-batch per replica; sum = b
  Split split = Split::samples;
  std::vector<std::string> feature_layers;  ///< only with Split::features
  /// Part of their output features that each worker computes, sum 1; empty: equal parts. check_plan
  /// fills it where devices of several kinds have none.
  std::vector<double> feature_shares;
  /// Part of the stage's weights that each worker updates, sum 1; empty: equal parts. Follows from
  /// the costs: check_plan fills it, whatever a file says.
  std::vector<double> update_shares;
  double forward_ns = 0;          ///< one full micro-batch
  double backward_ns = 0;         ///< one full micro-batch, recomputation included
  double weight_gradient_ns = 0;  ///< the same of the weights, where the schedule runs it apart
  double update_ns = 0;           ///< per step: gradient reduction and update
  std::int64_t memory_bytes = 0;
  std::vector<std::string> recompute;  ///< layers whose saved values are dropped after forward
  std::map<std::string, Implementation> implementations;
  bool operator==(const PlanStage&) const = default;

  /// feature_shares, filled with equal parts where it is empty.
  std::vector<double> feature_parts() const;
  int workers() const;       ///< pinned workers: replicas (samples, threads) or devices (features)
  int threads_each() const;  ///< OpenMP width of a worker
};

struct PlanAlternative {
  std::string name;                ///< "one core", "threads", "even data parallel", …
  std::optional<double> value_ns;  ///< absent: not feasible
  std::string why_not;             ///< why it lost or is not feasible
  bool operator==(const PlanAlternative&) const = default;
};

struct SearchReport {
  std::int64_t candidates = 0;  ///< complete plans weighed
  std::int64_t ideals = 0;  ///< sets of layers that hold all that they read: where it may be cut
  std::int64_t states = 0;  ///< beginnings and rests of pipelines weighed
  double seconds = 0;
  std::int64_t peak_bytes = 0;
  bool operator==(const SearchReport&) const = default;
};

enum class Objective { makespan, period };

struct Plan {
  std::string model;
  Objective objective = Objective::makespan;
  std::int64_t batch = 0;
  std::int64_t micro_batch = 0;    ///< b; the last one of a step may be smaller
  std::int64_t micro_batches = 0;  ///< M = ceil(batch / b)
  std::string schedule = "1f1b";   ///< one of schedule_names()
  double value_ns = 0;  ///< predicted step time (makespan) or time per micro-batch (period)
  double bound_ns = 0;  ///< proved lower bound over every plan allowed
  bool optimal = false;
  std::int64_t memory_bytes = 0;
  SearchReport search;
  std::vector<PlanStage> stages;
  std::vector<PlanAlternative> alternatives;
  bool operator==(const Plan&) const = default;
};

/// A plan for cores that have become faster or slower.
struct PlanOffer {
  Plan plan;
  Profile costs;                 ///< at the cores' speed now: what `plan` was made for
  std::map<int, double> speeds;  ///< CPU -> its rate now over the one at which costs were measured
};

/// By stage: its lane (schedule.hpp), numbered from 0 in the order of their first stage. Stages of
/// the same devices are on the same one.
std::vector<int> lanes_of(const Plan& plan);

/// How many samples each replica of a stage computes of a micro-batch of `samples`: the shares
/// scaled by largest remainder, ties to the lower index. Sums to `samples`.
std::vector<std::int64_t> shares_of(const std::vector<std::int64_t>& shares, std::int64_t samples);

/// Samples of micro-batch m: b, or the rest in the last one.
std::int64_t samples_in(const Plan& plan, std::int64_t micro_batch_index);

enum class RecomputePolicy { automatic, none, all };

/// Whose samples batch normalisation takes its statistics of.
enum class BatchStatistics {
  batch,        ///< as plain training does: a step is one micro-batch
  micro_batch,  ///< another result than plain training's, and any number of micro-batches
};

inline constexpr std::int64_t kLargestBatch = 65536;

struct PlanRequest {
  std::int64_t batch = 64;
  std::optional<std::int64_t> micro_batch;  ///< absent: searched
  Objective objective = Objective::makespan;
  std::string schedule = "auto";  ///< "auto" or one of schedule_names()
  /// Devices may run several stages, not next to each other, by the schedule "interleaved"; implied
  /// where that is asked for.
  bool any_cut = false;
  std::optional<int> max_stages;
  std::optional<int> max_replicas;
  RecomputePolicy recompute = RecomputePolicy::automatic;
  BatchStatistics statistics = BatchStatistics::batch;
  std::optional<std::int64_t> memory_bytes;      ///< lowers the profile's shared budget
  std::map<std::string, std::vector<int>> cpus;  ///< kind -> CPU numbers; absent: numbered 0, 1, …
  /// When a search that is given a clock settles for the best plan so far and a bound; absent:
  /// after an amount of work that takes a few seconds, so that the plan does not depend on the
  /// machine's speed.
  std::optional<double> search_seconds;
};

/// No plan is feasible: why, and the nearest request that would be.
struct PlanFailure {
  std::string reason;
  std::string nearest;
};

/// Seconds since any fixed moment: how the search is told the time.
using SecondsClock = std::function<double()>;

/// Searches the best plan for the measured costs. Deterministic without search_seconds: same
/// inputs, same plan (but for SearchReport::seconds, which stays 0 without a clock). Pure: no
/// threads, no torch. Throws ConfigError (tag
/// "plan") for a request that cannot be satisfied (batch 0, micro-batches of layers that need the
/// whole batch, …).
std::variant<Plan, PlanFailure> search_plan(const Profile& profile, const PlanRequest& request,
                                            const SecondsClock& clock = {});

/// Why search_plan finds none. Throws as search_plan.
PlanFailure why_no_plan(const Profile& profile, const PlanRequest& request);

/// The best plans, best first and at most `count`, of different forms: in devices and splits of the
/// stages, recomputation, micro-batch or schedule, not only in cuts and shares. Empty where none is
/// feasible. Else as search_plan.
std::vector<Plan> search_plans(const Profile& profile, const PlanRequest& request, int count,
                               const SecondsClock& clock = {});

/// Checks a plan that was read or written by hand against the costs and fills what the costs say
/// (times, parts of the update, memory, bound). Throws ConfigError (tag "plan") naming stage, both
/// values and remedy: another model, layers missing, twice or out of order, a device twice or
/// unknown, shares that do not sum to b, a split that a layer does not allow, a budget exceeded.
Plan check_plan(const Plan& plan, const Profile& profile, const PlanRequest& request,
                const SecondsClock& clock = {});

/// As check_plan, without the search for other plans: bound, proof, alternatives and search stay
/// what `plan` says of them.
Plan verify_plan(const Plan& plan, const Profile& profile, const PlanRequest& request);

/// What schedule.hpp's simulate takes for one step of `samples` samples (1 .. plan.batch; the
/// last batch of an epoch is smaller) under a plan that fits the profile. With plan.batch samples
/// and plan.schedule its makespan is plan.value_ns.
std::vector<StageTimes> predicted_times(const Plan& plan, const Profile& profile,
                                        std::int64_t samples);

/// The stages, the time line of one step, and why each alternative lost; text of <= 100 columns.
std::string explain(const Plan& plan, const Profile& profile);

std::string to_json(const Plan& plan);
/// Throws ConfigError (tag "plan") naming `origin`: no plan, another version, unknown field.
Plan plan_from_json(std::string_view text, const std::string& origin);
std::string to_string(Split split);
std::string to_string(Objective objective);

}  // namespace millrace
