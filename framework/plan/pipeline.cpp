#include "framework/plan/pipeline.hpp"

#include <algorithm>

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

double compute_ns(const MicroBatchTimes& times) { return times.forward_ns + times.backward_ns; }

}  // namespace

double idle_ns(const StageCost& cost, const Batching& batching, int W, const RoundTrip& trip) {
  if (W == 0) return 0;  // no backward
  const bool all_first = W >= batching.count;
  const double forwards = all_first && W > 1
                              ? double(W - 2) * cost.full.forward_ns + cost.rest.forward_ns
                              : double(W - 1) * cost.full.forward_ns;
  const double filling = std::max(0.0, trip.full_ns - forwards);
  const double draining = std::max(0.0, trip.last_ns - double(W - 1) * cost.full.backward_ns);
  return all_first ? std::max(filling, draining) : filling + draining;
}

void fill_times(Stages stages, const Batching& batching, std::vector<StageTimes>& times) {
  times.resize(stages.size());
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageCost& cost = stages[s]->cost;
    fill(times[s].forward_ns, cost.full.forward_ns, cost.rest.forward_ns, batching);
    fill(times[s].backward_ns, cost.full.backward_ns, cost.rest.backward_ns, batching);
    times[s].reduce_ns = cost.reduce_ns;
    times[s].update_ns = cost.update_ns;
    if (s > 0) fill_links(*stages[s - 1], *stages[s], batching, times[s - 1], times[s]);
  }
  times.front().send_backward_ns.clear();
  times.back().send_forward_ns.clear();
}

int in_flight(const std::string& schedule, int stages, int stage, std::int64_t micro_batches) {
  if (schedule == "forward-only") return 0;
  if (schedule == "fill-drain") return static_cast<int>(micro_batches);
  return static_cast<int>(std::min<std::int64_t>(micro_batches, stages - stage));
}

double pipeline_bytes(Stages stages, const Batching& batching, const std::string& schedule) {
  const auto P = static_cast<int>(stages.size());
  double sum = 0;
  for (int s = 0; s < P; ++s) {
    sum += CostModel::memory_bytes(stages[s]->cost, batching,
                                   in_flight(schedule, P, s, batching.count));
  }
  return sum;
}

double period_ns(Stages stages) {
  double largest = 0;
  for (const StageOption* stage : stages) largest = std::max(largest, stage->cost.load_ns);
  return largest;
}

double makespan_bound_ns(Stages stages, int all, const Batching& batching,
                         const std::string& schedule, const RoundTrip& behind) {
  RoundTrip trip = behind;
  for (const StageOption* stage : stages) {
    trip.full_ns += compute_ns(stage->cost.full);
    trip.last_ns += compute_ns(stage->cost.rest);
  }
  double bound = 0, head = 0, tail = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageCost& cost = stages[s]->cost;
    trip.full_ns -= compute_ns(cost.full);
    trip.last_ns -= compute_ns(cost.rest);
    head += cost.full.links.in_forward_ns;
    tail = std::max(cost.reduce_ns + cost.update_ns, tail + cost.rest.links.out_backward_ns);
    const double work = double(batching.count - 1) * compute_ns(cost.full) + compute_ns(cost.rest);
    const int W = in_flight(schedule, all, static_cast<int>(s), batching.count);
    bound = std::max(bound, head + work + idle_ns(cost, batching, W, trip) + tail);
    head += cost.full.forward_ns + cost.full.links.out_forward_ns;
    tail += cost.rest.backward_ns + cost.rest.links.in_backward_ns;
  }
  return bound;
}

}  // namespace millrace
