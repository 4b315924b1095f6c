#include "framework/plan/prefix.hpp"

#include <algorithm>
#include <limits>

namespace millrace {

double PrefixBounds::last_ns(const Prefix& prefix, int state) const {
  const int whole = model_.cuts().all();
  if (period()) return bound_.compute_ns(state, prefix.cut, whole);
  const LeastStage own = stage_bound_.own(state, prefix.cut, whole);
  return prefix.head_ns + std::max(own.back_ns + prefix.tail_ns, own.total_ns + own.update_ns);
}

/// Of the step where `rest` follows the prefix.
double PrefixBounds::rest_ns(const Prefix& prefix, const Rest& rest) const {
  if (period()) return rest.end_ns;
  return prefix.head_ns + std::max(rest.back_ns + prefix.tail_ns, rest.end_ns);
}

/// What comes after the next stage waits for its first forward and is followed by its last
/// backward.
double PrefixBounds::cut_ns(const Prefix& prefix, int part, int last) const {
  const Rest* const rest = rests_.find(prefix.state_left - part, last);
  if (rest == nullptr) return std::numeric_limits<double>::infinity();
  if (period()) return std::max(bound_.compute_ns(part, prefix.cut, last), rest->end_ns);
  const LeastStage own = stage_bound_.own(part, prefix.cut, last);
  const double back = std::max(own.back_ns, own.passage.trip.last_ns + rest->back_ns);
  return prefix.head_ns + std::max({back + prefix.tail_ns, own.passage.forward_ns + rest->end_ns,
                                    own.total_ns + own.update_ns});
}

Prefix PrefixBounds::with_stage(const Prefix& prefix, Stages chosen,
                                const Batching& batching) const {
  const StageOption& option = *chosen.back();
  const StageCost& cost = option.cost;
  Prefix next;
  next.cut = option.shape.last;
  next.state_left = prefix.state_left - option.shape.state;
  const Rest rest =
      next.cut < model_.cuts().all() ? *rests_.find(next.state_left, next.cut) : Rest{};
  next.bytes =
      prefix.bytes + CostModel::memory_bytes(cost, batching, least_in_flight(next, batching));
  if (period()) {
    const double score = cost.load_ns * double(batching.batch) / double(batching.full);
    next.bound_ns = std::max(prefix.bound_ns, score);
  } else {
    next.head_ns = prefix.head_ns + cost.full.links.in_forward_ns + cost.full.forward_ns +
                   cost.full.links.out_forward_ns;
    next.tail_ns = tail_ns(prefix, cost, static_cast<int>(chosen.size()) - 1, batching);
    next.bound_ns = step_ns(next, rest, chosen, batching);
  }
  next.bound_ns = std::max(next.bound_ns, rest_ns(next, rest));
  return next;
}

/// Behind `prefix` and stage s, in the form of the backward part that ends soonest.
double PrefixBounds::tail_ns(const Prefix& prefix, const StageCost& cost, int s,
                             const Batching& batching) const {
  double least = std::numeric_limits<double>::infinity();
  for (const bool apart : {false, true}) {
    if (!forms_.has(apart)) continue;
    const double own_end = waiting_ns(cost, batching, s, apart) + cost.reduce_ns + cost.update_ns;
    least =
        std::min(least, cost.rest.links.in_backward_ns + passes(cost.rest, apart).backward_ns +
                            std::max(own_end, prefix.tail_ns + cost.rest.links.out_backward_ns));
  }
  return least;
}

/// Of the schedule that bears the chosen stages best.
double PrefixBounds::step_ns(const Prefix& prefix, const Rest& rest, Stages chosen,
                             const Batching& batching) const {
  double bound = std::numeric_limits<double>::infinity();
  const int all = most_stages(prefix, chosen.size());  // more stages: less to wait for
  for (const auto& schedule : space_.schedules) {
    bound = std::min(bound, makespan_bound_ns(chosen, all, batching, schedule, rest.trip));
  }
  return bound;
}

int PrefixBounds::most_stages(const Prefix& prefix, std::size_t chosen) const {
  const auto s = static_cast<int>(chosen);
  return std::min(space_.max_stages, s + std::min(model_.layers() - model_.cuts().count(prefix.cut),
                                                  model_.states().devices(prefix.state_left)));
}

/// Of the last one chosen, whatever follows it.
InFlight PrefixBounds::least_in_flight(const Prefix& prefix, const Batching& batching) const {
  const int after = prefix.cut < model_.cuts().all() ? 1 : 0;
  return in_flight(space_.schedules.front(), after + 1, 0, batching.count);
}

bool PrefixBounds::may_fit(const Prefix& prefix, Stages chosen, const Batching& batching) const {
  const double rest = model_.least_bytes(prefix.cut, model_.cuts().all());
  if (space_.memory_bytes && prefix.bytes + rest > *space_.memory_bytes) return false;
  const StageOption& option = *chosen.back();
  return !model_.broken_budget(option.shape, batching, option.shares,
                               least_in_flight(prefix, batching));
}

bool PrefixBounds::fits(Stages chosen, const Batching& batching,
                        const std::string& schedule) const {
  const auto P = static_cast<int>(chosen.size());
  double bytes = 0;
  for (int s = 0; s < P; ++s) {
    const InFlight flight = in_flight(schedule, P, s, batching.count);
    bytes += CostModel::memory_bytes(chosen[s]->cost, batching, flight);
    if (space_.memory_bytes && bytes > *space_.memory_bytes) return false;
    if (model_.broken_budget(chosen[s]->shape, batching, chosen[s]->shares, flight)) return false;
  }
  return true;
}

}  // namespace millrace
