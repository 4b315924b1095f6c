#include "framework/plan/search.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Values closer than this are the same up to rounding: the plan found first stays.
constexpr double kSame = 1 - 1e-12;

/// What is known when the first s stages of a pipeline are fixed.
struct Prefix {
  int first = 0;        ///< next layer
  int state_left = 0;   ///< devices not used yet
  double head_ns = 0;   ///< before this the first micro-batch has not arrived
  double tail_ns = 0;   ///< from the next stage's last backward to the end of the step, at least
  double bound_ns = 0;  ///< of the whole step, so far
  double bytes = 0;
};

class Search {
 public:
  Search(const CostModel& model, const SearchSpace& space)
      : model_(model), space_(space), bound_(&memory_), options_(model, space.stage, &memory_) {}

  SearchResult run() {
    weigh_single_stages();
    result_.best_sole = result_.best;
    weigh_pipelines();
    finish();
    return std::move(result_);
  }

 private:
  struct BoundedMicroBatch {
    std::int64_t samples;
    double bound_ns;
  };

  double limit() const { return best_score_ * kSame; }
  bool period() const { return space_.objective == Objective::period; }

  void weigh_single_stages();
  void weigh_pipelines();
  std::vector<BoundedMicroBatch> bounded_micro_batches(const LeastTimes& least) const;
  int most_stages(const Prefix& prefix) const;
  void extend(const Prefix& prefix);
  void extend_with(const Prefix& prefix, int part, int last);
  void close(const Prefix& prefix);
  Prefix with_stage(const Prefix& prefix, const StageOption& option) const;
  double rest_bound(const Prefix& prefix, int state) const;
  double cut_bound(const Prefix& prefix, int part, int last) const;
  double range_bound(int state, int first, int last) const;
  bool fits(const std::string& schedule) const;
  double step_bound(const Prefix& prefix) const;
  int least_in_flight(const Prefix& prefix) const;
  bool may_fit(const Prefix& prefix) const;
  const Schedule& schedule_of(const std::string& name);
  void weigh_complete();
  void keep(const std::string& schedule, double value, double score);
  void finish();

  const CostModel& model_;
  const SearchSpace& space_;
  CountingMemory memory_;
  BalanceBound bound_;
  StageOptions options_;
  SearchResult result_;
  double best_score_ = kInfinity;
  double open_bound_ = kInfinity;  // of what was left out because the search was too long
  std::int64_t weighed_ = 0;
  std::vector<const StageOption*> chosen_;
  std::map<std::pair<std::string, std::size_t>, Schedule> schedules_;  // of the current batching
  std::vector<StageTimes> times_;
};

/// Micro-batch sizes are tried from the largest: of equal plans the one with fewer tasks stays.
void Search::weigh_single_stages() {
  const LeastTimes least(model_, space_.batch, true);
  bound_.choose_weights(model_, least.work(space_.micro_batches.front()));
  for (const std::int64_t micro_batch : space_.micro_batches) {
    bound_.set_work(model_, least.work(micro_batch));
    options_.reset(Batching(space_.batch, micro_batch), true);
    schedules_.clear();
    close({0, model_.states().all()});
  }
}

/// The most promising first; with them the search soon knows a plan that rules out the others.
std::vector<Search::BoundedMicroBatch> Search::bounded_micro_batches(
    const LeastTimes& least) const {
  std::vector<BoundedMicroBatch> result;
  for (const std::int64_t micro_batch : space_.micro_batches) {
    const double bound = bound_.whole_ns(model_, least.work(micro_batch), !period());
    if (bound < limit()) result.push_back({micro_batch, bound});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const auto& a, const auto& b) { return a.bound_ns < b.bound_ns; });
  return result;
}

void Search::weigh_pipelines() {
  const Prefix nothing{0, model_.states().all()};
  if (most_stages(nothing) < 2) return;
  const LeastTimes least(model_, space_.batch, false);
  bound_.choose_weights(model_, least.work(space_.micro_batches.front()));
  for (const auto& [micro_batch, bound] : bounded_micro_batches(least)) {
    if (bound >= limit()) break;
    bound_.set_work(model_, least.work(micro_batch));
    options_.reset(Batching(space_.batch, micro_batch), false);
    schedules_.clear();
    extend(nothing);
  }
}

/// Stages that a pipeline may have that begins with the prefix.
int Search::most_stages(const Prefix& prefix) const {
  const auto s = static_cast<int>(chosen_.size());
  return std::min(space_.max_stages, s + std::min(model_.layers() - prefix.first,
                                                  model_.states().devices(prefix.state_left)));
}

/// Adds a stage that is not the last one, in every way that may still beat the best plan.
void Search::extend(const Prefix& prefix) {
  const DeviceStates& states = model_.states();
  for (int part = 1; part < prefix.state_left; ++part) {
    if (!states.contains(prefix.state_left, part)) continue;
    for (int last = prefix.first + 1; last < model_.layers(); ++last) {
      if (prefix.head_ns + range_bound(part, prefix.first, last) >= limit()) break;
      if (cut_bound(prefix, part, last) < limit()) extend_with(prefix, part, last);
    }
  }
}

void Search::extend_with(const Prefix& prefix, int part, int last) {
  for (const StageOption& option : options_.get(prefix.first, last, part)) {
    chosen_.push_back(&option);
    const Prefix next = with_stage(prefix, option);
    if (next.bound_ns < limit() && may_fit(next)) {
      if (++weighed_ + result_.candidates > space_.most_options) {
        open_bound_ = std::min(open_bound_, next.bound_ns);
      } else {
        close(next);
        if (static_cast<int>(chosen_.size()) + 1 < most_stages(next)) extend(next);
      }
    }
    chosen_.pop_back();
  }
}

/// Adds the last stage: all layers that are left, on any of the devices that are left.
void Search::close(const Prefix& prefix) {
  const DeviceStates& states = model_.states();
  for (int part = 1; part <= prefix.state_left; ++part) {
    if (!states.contains(prefix.state_left, part)) continue;
    if (rest_bound(prefix, part) >= limit()) continue;
    for (const StageOption& option : options_.get(prefix.first, model_.layers(), part)) {
      chosen_.push_back(&option);
      const Prefix whole = with_stage(prefix, option);
      ++result_.candidates;
      if (whole.bound_ns < limit() && may_fit(whole)) weigh_complete();
      chosen_.pop_back();
    }
  }
}

/// Of what comes after the next stage, where `part` runs the layers up to `last`: it waits for the
/// next stage's first forward and is followed by its last backward.
double Search::cut_bound(const Prefix& prefix, int part, int last) const {
  const int left = prefix.state_left - part;
  const double compute = bound_.compute_ns(left, last, model_.layers());
  if (period()) return compute;
  const Batching& batching = options_.batching();
  const double trip =
      bound_.compute_ns(part, prefix.first, last) * double(batching.rest) / double(batching.batch);
  return prefix.head_ns +
         std::max(trip + compute + prefix.tail_ns, bound_.total_ns(left, last, model_.layers()));
}

/// What is known once `option`, the last one chosen, follows the prefix.
Prefix Search::with_stage(const Prefix& prefix, const StageOption& option) const {
  const StageCost& cost = option.cost;
  const Batching& batching = options_.batching();
  Prefix next;
  next.first = option.shape.last;
  next.state_left = prefix.state_left - option.shape.state;
  next.bytes = prefix.bytes + CostModel::memory_bytes(cost, batching, least_in_flight(next));
  if (period()) {
    const double score = cost.load_ns * double(batching.batch) / double(batching.full);
    next.bound_ns = std::max(prefix.bound_ns, score);
  } else {
    next.head_ns = prefix.head_ns + cost.full.links.in_forward_ns + cost.full.forward_ns +
                   cost.full.links.out_forward_ns;
    next.tail_ns =
        cost.rest.links.in_backward_ns + cost.rest.backward_ns +
        std::max(cost.reduce_ns + cost.update_ns, prefix.tail_ns + cost.rest.links.out_backward_ns);
    next.bound_ns = step_bound(next);
  }
  if (next.first < model_.layers()) {
    next.bound_ns = std::max(next.bound_ns, rest_bound(next, next.state_left));
  }
  return next;
}

/// Of the schedule that bears the chosen stages best.
double Search::step_bound(const Prefix& prefix) const {
  const Batching& batching = options_.batching();
  RoundTrip behind;
  if (prefix.first < model_.layers()) {
    const double whole = bound_.compute_ns(prefix.state_left, prefix.first, model_.layers());
    behind = {whole * double(batching.full) / double(batching.batch),
              whole * double(batching.rest) / double(batching.batch)};
  }
  double bound = kInfinity;
  const int all = most_stages(prefix);  // with more stages a schedule has less to wait for
  for (const auto& schedule : space_.schedules) {
    bound = std::min(bound, makespan_bound_ns(chosen_, all, batching, schedule, behind));
  }
  return bound;
}

double Search::range_bound(int state, int first, int last) const {
  return period() ? bound_.compute_ns(state, first, last) : bound_.total_ns(state, first, last);
}

/// Of the step where `state` has all the layers that are left.
double Search::rest_bound(const Prefix& prefix, int state) const {
  const int last = model_.layers();
  if (period()) return bound_.compute_ns(state, prefix.first, last);
  return prefix.head_ns + std::max(bound_.compute_ns(state, prefix.first, last) + prefix.tail_ns,
                                   bound_.total_ns(state, prefix.first, last));
}

/// Of the last one chosen, whatever follows it.
int Search::least_in_flight(const Prefix& prefix) const {
  const int after = prefix.first < model_.layers() ? 1 : 0;
  return in_flight(space_.schedules.front(), after + 1, 0, options_.batching().count);
}

/// Whether the budgets may still hold with the last one chosen.
bool Search::may_fit(const Prefix& prefix) const {
  const double rest = model_.least_bytes(prefix.first, model_.layers());
  if (space_.memory_bytes && prefix.bytes + rest > *space_.memory_bytes) return false;
  const StageOption& option = *chosen_.back();
  return !model_.broken_budget(option.shape, options_.batching(), option.shares,
                               least_in_flight(prefix));
}

/// The same for a complete plan, exactly.
bool Search::fits(const std::string& schedule) const {
  const Batching& batching = options_.batching();
  if (space_.memory_bytes && pipeline_bytes(chosen_, batching, schedule) > *space_.memory_bytes) {
    return false;
  }
  const auto P = static_cast<int>(chosen_.size());
  for (int s = 0; s < P; ++s) {
    const int flight = in_flight(schedule, P, s, batching.count);
    if (model_.broken_budget(chosen_[s]->shape, batching, chosen_[s]->shares, flight)) return false;
  }
  return true;
}

const Schedule& Search::schedule_of(const std::string& name) {
  const auto [place, is_new] = schedules_.try_emplace({name, chosen_.size()});
  if (is_new) {
    place->second = make_schedule(name, static_cast<int>(chosen_.size()),
                                  static_cast<int>(options_.batching().count));
  }
  return place->second;
}

void Search::weigh_complete() {
  const Batching& batching = options_.batching();
  if (!period()) fill_times(chosen_, batching, times_);
  for (const std::string& name : space_.schedules) {
    if (!fits(name)) continue;
    const double value =
        period() ? period_ns(chosen_) : simulate_makespan_ns(schedule_of(name), times_);
    keep(name, value, period() ? value * double(batching.batch) / double(batching.full) : value);
  }
}

void Search::keep(const std::string& schedule, double value, double score) {
  if (score >= limit()) return;
  best_score_ = score;
  Candidate candidate;
  for (const StageOption* option : chosen_) candidate.stages.push_back(*option);
  candidate.batching = options_.batching();
  candidate.schedule = schedule;
  candidate.value_ns = value;
  candidate.score_ns = score;
  result_.best = std::move(candidate);
}

void Search::finish() {
  result_.peak_bytes = memory_.peak_bytes();
  if (!result_.best) return;
  result_.optimal = open_bound_ >= limit();
  result_.bound_score_ns = result_.optimal ? best_score_ : open_bound_;
}

}  // namespace

SearchResult search(const CostModel& model, const SearchSpace& space) {
  return Search(model, space).run();
}

}  // namespace millrace
