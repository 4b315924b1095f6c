#include "framework/plan/rest_table.hpp"

#include <algorithm>

namespace millrace {
namespace {

/// To find one that is made takes about as long as so many looks at the table.
constexpr std::int64_t kOfAnOption = 64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Of all micro-batches.
double work_ns(const StageCost& cost, const Batching& batching, bool apart) {
  const Passes full = passes(cost.full, apart), rest = passes(cost.rest, apart);
  return double(batching.count - 1) * full.all_ns() + rest.forward_ns + rest.backward_ns +
         rest.weight_gradient_ns;
}

}  // namespace

RestTable::RestTable(const CostModel& model, const SearchSpace& space, const BalanceBound& bound,
                     const StageBound& stage_bound, StageOptions& options,
                     std::pmr::memory_resource* memory)
    : model_(model),
      space_(space),
      bound_(bound),
      stage_bound_(stage_bound),
      options_(options),
      forms_(space.backward_forms()),
      cuts_(static_cast<std::size_t>(model.cuts().size())),
      most_in_flight_{std::pmr::vector<int>(memory), std::pmr::vector<int>(memory)},
      places_(memory),
      rests_(memory),
      found_(memory) {}

bool RestTable::fill(std::span<const int> cuts, double limit_ns,
                     const std::function<bool()>& stopped) {
  limit_ns_ = limit_ns;
  find_most_in_flight();
  const int states = model_.states().size();
  places_.assign(static_cast<std::size_t>(states) * cuts_, -1);
  looked_at_ += static_cast<std::int64_t>(places_.size());
  rests_.clear();
  found_.resize(static_cast<std::size_t>(states));
  for (int state = 0; state < states; ++state) {
    found_[static_cast<std::size_t>(state)].clear();
    add(state, model_.cuts().all(), {});
  }
  for (std::size_t i = cuts.size() - 1; i-- > 0;) {
    options_.forget_above(StageOptions::kMany);
    for (int state = 1; state < states; ++state) {
      if (!may_be_used(state, cuts[i])) continue;
      if (stopped()) return false;
      find_rest(state, cuts[i]);
    }
  }
  return true;
}

void RestTable::add(int state, int cut, const Rest& rest) {
  places_[index(state, cut)] = static_cast<int>(rests_.size());
  rests_.push_back(rest);
  found_[static_cast<std::size_t>(state)].push_back(cut);
  ++entries_;
}

/// Neither what comes before nor what comes after is too much for its devices.
bool RestTable::may_be_used(int state, int cut) const {
  const int used = model_.states().all() - state, whole = model_.cuts().all();
  if ((cut == 0) != (used == 0)) return false;
  if (period()) {
    return bound_.compute_ns(state, cut, whole) < limit_ns_ &&
           (cut == 0 || bound_.compute_ns(used, 0, cut) < limit_ns_);
  }
  if (cut == 0) return true;
  const RoundTrip before = stage_bound_.any(used, 0, cut).trip;
  const RoundTrip behind = stage_bound_.any(state, cut, whole).trip;
  return before.full_ns + behind.full_ns < limit_ns_ &&
         before.last_ns + bound_.back_ns(state, cut, whole) < limit_ns_ &&
         bound_.total_ns(used, 0, cut) < limit_ns_;
}

/// Of a rest on `state` from `cut` on.
RestTable::Before RestTable::before(int state, int cut) const {
  const int used = model_.states().all() - state;
  if (cut == 0) return {};
  return {period() ? LeastPassage{} : stage_bound_.any(used, 0, cut), 1,
          std::min(model_.states().devices(used), space_.max_stages - 1)};
}

void RestTable::find_rest(int state, int cut) {
  const Cuts& cuts = model_.cuts();
  const Before before = this->before(state, cut);
  Rest least{kInfinity, kInfinity, {kInfinity, kInfinity}};
  looked_at_ += state;
  for (int part = 1; part <= state; ++part) {
    if (!model_.states().contains(state, part)) continue;
    const int left = state - part;
    looked_at_ += static_cast<std::int64_t>(this->cuts(left).size());
    for (const int last : this->cuts(left)) {
      const Rest& behind = *find(left, last);
      if (period()) {
        take_period(cut, last, part, behind, least);
        continue;
      }
      if (!may_follow(before.least, stage_bound_.own(part, cut, last), behind, least) ||
          !cuts.within(cut, last))
        continue;
      const int layers_behind = model_.layers() - cuts.count(last);
      const int most_behind = std::min(layers_behind, model_.states().devices(left));
      looked_at_ += kOfAnOption;
      for (const StageOption& option : options_.get(cut, last, part)) {
        looked_at_ += kOfAnOption;
        take_makespan(option, behind, most_behind, before, least);
      }
    }
  }
  if (least.end_ns < limit_ns_) add(state, cut, least);
}

/// `before` a stage that takes at least `own`, and `behind` after it, take less than the limit, and
/// may be less than `least` in something.
bool RestTable::may_follow(const LeastPassage& before, const LeastStage& own, const Rest& behind,
                           const Rest& least) const {
  const LeastPassage& passage = own.passage;
  const double back = std::max(own.back_ns, passage.trip.last_ns + behind.back_ns);
  const double end = std::max(own.total_ns + own.update_ns, passage.forward_ns + behind.end_ns);
  const RoundTrip trip{passage.trip.full_ns + behind.trip.full_ns,
                       passage.trip.last_ns + behind.trip.last_ns};
  return before.trip.last_ns + back < limit_ns_ && before.forward_ns + end < limit_ns_ &&
         before.trip.full_ns + trip.full_ns < limit_ns_ &&
         (end < least.end_ns || back < least.back_ns || trip.full_ns < least.trip.full_ns ||
          trip.last_ns < least.trip.last_ns);
}

void RestTable::take_period(int cut, int last, int part, const Rest& behind, Rest& least) {
  const double best = std::min(limit_ns_, least.end_ns);
  if (behind.end_ns >= best || bound_.compute_ns(part, cut, last) >= best ||
      !model_.cuts().within(cut, last))
    return;
  const double per_step = double(options_.batching().batch) / double(options_.batching().full);
  const double own = per_step * options_.least_load_ns(cut, last, part);
  least.end_ns = std::min(least.end_ns, std::max(own, behind.end_ns));
  least.back_ns = 0;
}

/// The stage's own work, or the way through it and what is behind it.
void RestTable::take_makespan(const StageOption& option, const Rest& behind, int most_behind,
                              const Before& before, Rest& least) const {
  for (const bool apart : {false, true}) {
    if (forms_.has(apart)) take_form(option.cost, behind, most_behind, before, apart, least);
  }
}

/// Where the weights' gradients run apart, the more stages are before this one, the more of them
/// may come after its last backward.
void RestTable::take_form(const StageCost& cost, const Rest& behind, int most_behind,
                          const Before& before, bool apart, Rest& least) const {
  const Batching& batching = options_.batching();
  const Passes full = passes(cost.full, apart), rest = passes(cost.rest, apart);
  const double arrive =
      cost.full.links.in_forward_ns + cost.full.forward_ns + cost.full.links.out_forward_ns;
  const double leave = cost.rest.links.in_backward_ns + rest.backward_ns;
  const double busy =
      cost.full.links.in_forward_ns + work_ns(cost, batching, apart) +
      idle_ns(cost, batching, most_in_flight_[apart ? 1 : 0][static_cast<std::size_t>(most_behind)],
              behind.trip, apart);
  const double back = std::max(busy - waiting_ns(cost, batching, before.most_stages, apart),
                               arrive + behind.back_ns + leave);
  const double own_end =
      std::max(busy, back + waiting_ns(cost, batching, before.least_stages, apart));
  const double end = std::max(own_end + cost.reduce_ns + cost.update_ns, arrive + behind.end_ns);
  const RoundTrip trip{full.trip_ns() + behind.trip.full_ns, rest.trip_ns() + behind.trip.last_ns};
  if (before.least.trip.last_ns + back >= limit_ns_ ||
      before.least.trip.full_ns + trip.full_ns >= limit_ns_ ||
      before.least.forward_ns + end >= limit_ns_)
    return;
  least.back_ns = std::min(least.back_ns, back);
  least.end_ns = std::min(least.end_ns, end);
  least.trip.full_ns = std::min(least.trip.full_ns, trip.full_ns);
  least.trip.last_ns = std::min(least.trip.last_ns, trip.last_ns);
}

/// Of the schedules of a form, the most micro-batches that a stage holds: the more, the less idle
/// (but for forward-only, which holds none and is a request's only schedule).
void RestTable::find_most_in_flight() {
  const auto devices = static_cast<std::size_t>(model_.states().devices(model_.states().all()));
  for (auto& most : most_in_flight_) most.assign(devices + 1, 0);
  for (const auto& schedule : space_.schedules) {
    auto& most = most_in_flight_[splits_backward(schedule) ? 1 : 0];
    for (std::size_t behind = 0; behind <= devices; ++behind) {
      const int stages = static_cast<int>(behind) + 1;
      most[behind] = std::max(most[behind],
                              in_flight(schedule, stages, 0, options_.batching().count).backward);
    }
  }
}

}  // namespace millrace
