#include <algorithm>
#include <numeric>
#include <string>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

double largest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

void check_sizes(const std::vector<double>& forward_ns, const std::vector<double>& backward_ns,
                 int micro_batches) {
  MILLRACE_CHECK(!forward_ns.empty() && forward_ns.size() == backward_ns.size(), "schedule",
                 "forward and backward times of every stage are needed");
  MILLRACE_CHECK(micro_batches >= 1, "schedule", "a step has at least 1 micro-batch");
}

/// Longest of some paths through the dependencies of 1F1B that pass stage s (docs/schedules.md
/// draws them). Indices: stage t >= s, micro-batch m; W_t = min(M, P - t) micro-batches in flight
/// on t.
struct PathsOfStage {
  int M = 1;
  int in_flight = 1;           ///< W_s
  double forward = 0;          ///< F_s
  double round_trip = 0;       ///< from the start of F(s,m) to the end of B(s,m)
  double slowest_forward = 0;  ///< over the stages up to s, as the next
  double slowest_backward = 0;

  /// Behind the start of F(s,m) at `start_ns`: turns at stage t, `turn_ns` each, every one from a
  /// forward of s to a later one; then to the end of the stage's last backward.
  double turning(int m, double start_ns, double step_ns, int in_flight_behind,
                 double turn_ns) const {
    const int micro_batches_per_turn = in_flight - in_flight_behind + 1;
    const int turns = (M - 1 - m) / micro_batches_per_turn;
    const int rest = M - 1 - m - turns * micro_batches_per_turn;
    const double by_round_trip = rest * std::max(step_ns, slowest_backward) + round_trip;
    const double by_turn = turn_ns + (rest + in_flight_behind - 1) * slowest_backward;
    return start_ns + turns * turn_ns + std::max(by_round_trip, by_turn);
  }

  /// `turn_ns`: F(s) … F(t) and B(t) … B(s) with the links between.
  double longest(int in_flight_behind, double turn_ns) const {
    const int m = in_flight_behind - 1;  // the first forward that a backward of t follows
    const double filled =
        turning(m, m * slowest_forward, slowest_forward, in_flight_behind, turn_ns);
    if (M <= in_flight) return filled;
    return std::max(filled, turning(in_flight, round_trip, forward, in_flight_behind, turn_ns));
  }
};

}  // namespace

double bound_1f1b_ns(const std::vector<double>& forward_ns, const std::vector<double>& backward_ns,
                     const std::vector<double>& link_ns, int micro_batches) {
  check_sizes(forward_ns, backward_ns, micro_batches);
  const std::size_t P = forward_ns.size();
  MILLRACE_CHECK(link_ns.empty() || link_ns.size() + 1 >= P, "schedule",
                 "a link time between each two stages is needed, or none at all");
  const auto in_flight = [&](std::size_t s) { return std::min(micro_batches, int(P - s)); };
  // Stage s and the link behind it, both ways.
  const auto stage_and_link = [&](std::size_t s) {
    return forward_ns[s] + backward_ns[s] + (link_ns.empty() || s + 1 == P ? 0 : 2 * link_ns[s]);
  };
  double once_through = 0;
  for (std::size_t s = 0; s < P; ++s) once_through += stage_and_link(s);

  PathsOfStage paths{micro_batches};
  double bound = once_through;
  double before = 0;  // one micro-batch through the stages before s, both ways
  for (std::size_t s = 0; s < P; before += stage_and_link(s++)) {
    paths.in_flight = in_flight(s);
    paths.forward = forward_ns[s];
    paths.round_trip = once_through - before;
    paths.slowest_forward = std::max(paths.slowest_forward, forward_ns[s]);
    paths.slowest_backward = std::max(paths.slowest_backward, backward_ns[s]);
    bound = std::max(bound, before + micro_batches * (forward_ns[s] + backward_ns[s]));
    double down_to_t = 0;  // stages s … t - 1 and their links, both ways
    for (std::size_t t = s; t < P; down_to_t += stage_and_link(t++)) {
      const double turn = down_to_t + forward_ns[t] + backward_ns[t];
      bound = std::max(bound, before + paths.longest(in_flight(t), turn));
    }
  }
  return bound;
}

double fill_drain_ns(const std::vector<double>& forward_ns, const std::vector<double>& backward_ns,
                     int micro_batches) {
  check_sizes(forward_ns, backward_ns, micro_batches);
  return sum(forward_ns) + sum(backward_ns) +
         (micro_batches - 1) * (largest(forward_ns) + largest(backward_ns));
}

}  // namespace millrace
