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
  std::vector<BoundedMicroBatch> bounded_micro_batches() const;
  void weigh_pipelines_of(std::int64_t micro_batch);
  void set_stages(int stages);
  void extend(const Prefix& prefix);
  void extend_with(const Prefix& prefix, int part, int last);
  void close(const Prefix& prefix);
  Prefix with_stage(const Prefix& prefix, const StageOption& option) const;
  double rest_bound(const Prefix& prefix, int state) const;
  double range_bound(int state, int first, int last) const;
  bool fits_all(const std::string& schedule) const;
  bool fits(const StageOption& option, double bytes) const;
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
  int stages_ = 1;
  std::vector<const StageOption*> chosen_;
  std::vector<Schedule> schedules_;  // one per name, for the current batching and stages
  std::vector<StageTimes> times_;
};

/// Micro-batch sizes are tried from the largest: of equal plans the one with fewer tasks stays.
void Search::weigh_single_stages() {
  const LeastWork whole(model_, space_.batch, space_.batch, true);
  bound_.choose_weights(model_, whole);
  for (const std::int64_t micro_batch : space_.micro_batches) {
    bound_.set_work(model_, LeastWork(model_, space_.batch, micro_batch, true));
    options_.reset(Batching(space_.batch, micro_batch), true);
    set_stages(1);
    close({0, model_.states().all()});
  }
}

std::vector<Search::BoundedMicroBatch> Search::bounded_micro_batches() const {
  std::vector<BoundedMicroBatch> result;
  BalanceBound bound = bound_;
  for (const std::int64_t micro_batch : space_.micro_batches) {
    bound.set_work(model_, LeastWork(model_, space_.batch, micro_batch, false));
    const int all = model_.states().all();
    result.push_back({micro_batch, period() ? bound.compute_ns(all, 0, model_.layers())
                                            : bound.total_ns(all, 0, model_.layers())});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const auto& a, const auto& b) { return a.bound_ns < b.bound_ns; });
  return result;
}

void Search::weigh_pipelines() {
  const int most = std::min(
      {model_.layers(), model_.states().devices(model_.states().all()), space_.max_stages});
  if (most < 2) return;
  bound_.choose_weights(model_, LeastWork(model_, space_.batch, space_.batch, false));
  for (const auto& [micro_batch, bound] : bounded_micro_batches()) {
    if (bound >= limit()) break;
    bound_.set_work(model_, LeastWork(model_, space_.batch, micro_batch, false));
    options_.reset(Batching(space_.batch, micro_batch), false);
    for (int stages = 2; stages <= most; ++stages) {
      set_stages(stages);
      extend({0, model_.states().all()});
    }
  }
}

void Search::set_stages(int stages) {
  stages_ = stages;
  schedules_.clear();
  for (const auto& name : space_.schedules) {
    schedules_.push_back(make_schedule(name, stages, static_cast<int>(options_.batching().count)));
  }
}

/// Adds a stage that is not the last one, in every way that may still beat the best plan.
void Search::extend(const Prefix& prefix) {
  const DeviceStates& states = model_.states();
  const int after = stages_ - static_cast<int>(chosen_.size()) - 1;
  for (int part = 1; part <= prefix.state_left; ++part) {
    if (!states.contains(prefix.state_left, part)) continue;
    const int left = prefix.state_left - part;
    if (states.devices(left) < after) continue;
    for (int last = prefix.first + 1; last <= model_.layers() - after; ++last) {
      if (prefix.head_ns + range_bound(part, prefix.first, last) >= limit()) break;
      if (prefix.head_ns + range_bound(left, last, model_.layers()) >= limit()) continue;
      extend_with(prefix, part, last);
    }
  }
}

void Search::extend_with(const Prefix& prefix, int part, int last) {
  for (const StageOption& option : options_.get(prefix.first, last, part)) {
    const Prefix next = with_stage(prefix, option);
    if (next.bound_ns >= limit() || !fits(option, next.bytes)) continue;
    if (++weighed_ + result_.candidates > space_.most_options) {
      open_bound_ = std::min(open_bound_, next.bound_ns);
      continue;
    }
    chosen_.push_back(&option);
    if (static_cast<int>(chosen_.size()) + 1 == stages_) {
      close(next);
    } else {
      extend(next);
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
      const Prefix whole = with_stage(prefix, option);
      ++result_.candidates;
      if (whole.bound_ns >= limit() || !fits(option, whole.bytes)) continue;
      chosen_.push_back(&option);
      weigh_complete();
      chosen_.pop_back();
    }
  }
}

/// Bounds that hold for every schedule: a stage works from the arrival of the first micro-batch,
/// and what follows its last backward comes on top.
Prefix Search::with_stage(const Prefix& prefix, const StageOption& option) const {
  const StageCost& cost = option.cost;
  const Batching& batching = options_.batching();
  Prefix next;
  next.first = option.shape.last;
  next.state_left = prefix.state_left - option.shape.state;
  const auto s = static_cast<int>(chosen_.size());
  const int flight = in_flight(space_.schedules.front(), stages_, s, batching.count);
  next.bytes = prefix.bytes + CostModel::memory_bytes(cost, batching, flight);
  if (period()) {
    next.bound_ns =
        std::max(prefix.bound_ns, cost.load_ns * double(batching.batch) / double(batching.full));
  } else {
    const double head = prefix.head_ns + cost.full.links.in_forward_ns;
    const double work =
        double(batching.count - 1) * (cost.full.forward_ns + cost.full.backward_ns) +
        cost.rest.forward_ns + cost.rest.backward_ns;
    const double tail = std::max(cost.reduce_ns + cost.update_ns,
                                 s == 0 ? 0.0 : prefix.tail_ns + cost.rest.links.out_backward_ns);
    next.head_ns = head + cost.full.forward_ns + cost.full.links.out_forward_ns;
    next.tail_ns = cost.rest.links.in_backward_ns + cost.rest.backward_ns + tail;
    next.bound_ns = std::max(prefix.bound_ns, head + work + tail);
  }
  if (next.first < model_.layers()) {
    next.bound_ns = std::max(next.bound_ns, rest_bound(next, next.state_left));
  }
  return next;
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

bool Search::fits(const StageOption& option, double bytes) const {
  if (space_.memory_bytes && bytes > *space_.memory_bytes) return false;
  const auto s = static_cast<int>(chosen_.size());
  const int flight = in_flight(space_.schedules.front(), stages_, s, options_.batching().count);
  return !model_.broken_budget(option.shape, options_.batching(), option.shares, flight);
}

/// The same for all stages of a complete plan under another schedule than the first.
bool Search::fits_all(const std::string& schedule) const {
  const Batching& batching = options_.batching();
  if (space_.memory_bytes && pipeline_bytes(chosen_, batching, schedule) > *space_.memory_bytes) {
    return false;
  }
  for (int s = 0; s < stages_; ++s) {
    const int flight = in_flight(schedule, stages_, s, batching.count);
    if (model_.broken_budget(chosen_[s]->shape, batching, chosen_[s]->shares, flight)) return false;
  }
  return true;
}

void Search::weigh_complete() {
  const Batching& batching = options_.batching();
  if (!period()) fill_times(chosen_, batching, times_);
  for (std::size_t i = 0; i < schedules_.size(); ++i) {
    const std::string& name = space_.schedules[i];
    if (i > 0 && !fits_all(name)) continue;
    const double value =
        period() ? period_ns(chosen_) : simulate_makespan_ns(schedules_[i], times_);
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
  const double share = result_.optimal ? 1 : open_bound_ / best_score_;
  result_.bound_ns = result_.best->value_ns * share;
}

}  // namespace

SearchResult search(const CostModel& model, const SearchSpace& space) {
  return Search(model, space).run();
}

}  // namespace millrace
