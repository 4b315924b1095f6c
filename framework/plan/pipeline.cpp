#include "framework/plan/pipeline.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace millrace {
namespace {

void fill(std::vector<double>& values, double full, double rest, const Batching& batching) {
  if (full == rest) {
    values.assign(1, full);
    return;
  }
  values.assign(static_cast<std::size_t>(batching.count), full);
  values.back() = rest;
}

/// A transfer between two stages passes the sender's link, then the receiver's.
void fill_links(const StageOption& sender, const StageOption& receiver, const Batching& batching,
                StageTimes& sends, StageTimes& answers) {
  const LinkTimes &from = sender.cost.full.links, &to = receiver.cost.full.links;
  const LinkTimes &last_from = sender.cost.rest.links, &last_to = receiver.cost.rest.links;
  fill(sends.send_forward_ns, from.out_forward_ns + to.in_forward_ns,
       last_from.out_forward_ns + last_to.in_forward_ns, batching);
  fill(answers.send_backward_ns, to.out_backward_ns + from.in_backward_ns,
       last_to.out_backward_ns + last_from.in_backward_ns, batching);
}

}  // namespace

std::vector<const StageOption*> pointers(const std::vector<StageOption>& stages) {
  std::vector<const StageOption*> result;
  for (const StageOption& stage : stages) result.push_back(&stage);
  return result;
}

double waiting_ns(const StageCost& cost, const Batching& batching, int s, bool apart) {
  if (!apart) return 0;
  const auto full = std::min<std::int64_t>(batching.count, s + 1) - 1;
  return double(full) * cost.full.weight_gradient_ns + cost.rest.weight_gradient_ns;
}

double idle_ns(const StageCost& cost, const Batching& batching, int W, const RoundTrip& trip,
               bool apart) {
  if (W == 0) return 0;  // no backward
  const bool all_first = W >= batching.count;
  const double forwards = all_first && W > 1
                              ? double(W - 2) * cost.full.forward_ns + cost.rest.forward_ns
                              : double(W - 1) * cost.full.forward_ns;
  const double filling = std::max(0.0, trip.full_ns - forwards);
  const Passes full = passes(cost.full, apart);
  const double draining =
      std::max(0.0, trip.last_ns - double(W - 1) * (full.backward_ns + full.weight_gradient_ns));
  return all_first ? std::max(filling, draining) : filling + draining;
}

void fill_times(Stages stages, const Batching& batching, bool apart,
                std::vector<StageTimes>& times) {
  times.resize(stages.size());
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageCost& cost = stages[s]->cost;
    const Passes full = passes(cost.full, apart), rest = passes(cost.rest, apart);
    fill(times[s].forward_ns, full.forward_ns, rest.forward_ns, batching);
    fill(times[s].backward_ns, full.backward_ns, rest.backward_ns, batching);
    times[s].weight_gradient_ns.clear();
    if (apart)
      fill(times[s].weight_gradient_ns, full.weight_gradient_ns, rest.weight_gradient_ns, batching);
    times[s].reduce_ns = cost.reduce_ns;
    times[s].update_ns = cost.update_ns;
    if (s > 0) fill_links(*stages[s - 1], *stages[s], batching, times[s - 1], times[s]);
  }
  times.front().send_backward_ns.clear();
  times.back().send_forward_ns.clear();
}

InFlight in_flight(const std::string& schedule, int stages, int stage, std::int64_t micro_batches) {
  const auto at_most = [&](int count) {
    return static_cast<int>(std::min<std::int64_t>(micro_batches, count));
  };
  if (schedule == "forward-only") return {};
  if (schedule == "fill-drain") return {static_cast<int>(micro_batches), 0};
  return {at_most(stages - stage), splits_backward(schedule) ? at_most(stage + 1) : 0};
}

std::vector<InFlight> in_flight(const Schedule& schedule) {
  const bool formula = !shares_lanes(schedule.lanes) || schedule.name == "forward-only";
  std::vector<InFlight> result;
  for (int s = 0; s < schedule.stages(); ++s)
    result.push_back(formula
                         ? in_flight(schedule.name, schedule.stages(), s, schedule.micro_batches)
                         : InFlight{peak_in_flight(schedule, s), 0});
  return result;
}

double pipeline_bytes(Stages stages, const Batching& batching, std::span<const InFlight> flights) {
  double sum = 0;
  for (std::size_t s = 0; s < stages.size(); ++s)
    sum += CostModel::memory_bytes(stages[s]->cost, batching, flights[s]);
  return sum;
}

std::optional<BrokenLane> broken_budget(const CostModel& model, Stages stages,
                                        const std::vector<int>& lanes, const Batching& batching,
                                        std::span<const InFlight> flights) {
  std::map<std::pair<int, int>, double> needed;  // by lane and kind, of one device
  for (std::size_t s = 0; s < stages.size(); ++s) {
    std::map<int, double> most;  // by kind
    for (const ShareGroup& group : stages[s]->shares) {
      double& bytes = most[group.kind];
      bytes = std::max(bytes, model.device_bytes(stages[s]->shape, batching, group, flights[s]));
    }
    for (const auto& [kind, bytes] : most) needed[{lanes[s], kind}] += bytes;
  }
  for (const auto& [place, bytes] : needed) {
    const DeviceKind& kind = model.profile().kinds[static_cast<std::size_t>(place.second)];
    if (kind.memory_bytes && bytes > *kind.memory_bytes)
      return BrokenLane{place.first, {kind.name, bytes, *kind.memory_bytes}};
  }
  return std::nullopt;
}

double period_ns(Stages stages) {
  double largest = 0;
  for (const StageOption* stage : stages) largest = std::max(largest, stage->cost.load_ns);
  return largest;
}

double period_ns(Stages stages, const std::vector<int>& lanes) {
  struct Load {
    double all = 0, compute = 0, in = 0, out = 0;
    double ns() const { return std::min(all, std::max({compute, in, out})); }
  };
  std::vector<Load> loads(lanes.size());
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageCost& cost = stages[s]->cost;
    const LinkTimes& links = cost.full.links;
    Load& load = loads[static_cast<std::size_t>(lanes[s])];
    load.all += cost.load_ns;
    load.compute += cost.full.forward_ns + cost.full.backward_ns;
    load.in += links.in_forward_ns + links.in_backward_ns;
    load.out += links.out_forward_ns + links.out_backward_ns;
  }
  double largest = 0;
  for (const Load& load : loads) largest = std::max(largest, load.ns());
  return largest;
}

double makespan_bound_ns(Stages stages, int all, const Batching& batching,
                         const std::string& schedule, const RoundTrip& behind) {
  const bool apart = splits_backward(schedule);
  RoundTrip trip = behind;
  for (const StageOption* stage : stages) {
    trip.full_ns += passes(stage->cost.full, apart).trip_ns();
    trip.last_ns += passes(stage->cost.rest, apart).trip_ns();
  }
  double bound = 0, head = 0, tail = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageCost& cost = stages[s]->cost;
    const Passes full = passes(cost.full, apart), rest = passes(cost.rest, apart);
    const int stage = static_cast<int>(s);
    trip.full_ns -= full.trip_ns();
    trip.last_ns -= rest.trip_ns();
    head += cost.full.links.in_forward_ns;
    const double waiting = waiting_ns(cost, batching, stage, apart);
    tail =
        std::max(waiting + cost.reduce_ns + cost.update_ns, tail + cost.rest.links.out_backward_ns);
    const double work = double(batching.count - 1) * full.all_ns() + rest.all_ns() - waiting;
    const int W = in_flight(schedule, all, stage, batching.count).backward;
    bound = std::max(bound, head + work + idle_ns(cost, batching, W, trip, apart) + tail);
    head += full.forward_ns + cost.full.links.out_forward_ns;
    tail += rest.backward_ns + cost.rest.links.in_backward_ns;
  }
  return bound;
}

}  // namespace millrace
