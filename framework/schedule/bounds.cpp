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

/// What a stage must wait for within its own part of the step. W: its micro-batches in flight; R:
/// the round trip behind it, from the end of a forward to the start of that backward.
double idle_ns(double forward, double backward, double round_trip, int in_flight, int M) {
  const double filling = std::max(0.0, round_trip - (in_flight - 1) * forward);
  const double draining = std::max(0.0, round_trip - (in_flight - 1) * backward);
  return M > in_flight ? filling + draining : std::max(filling, draining);
}

}  // namespace

double bound_1f1b_ns(const std::vector<double>& forward_ns, const std::vector<double>& backward_ns,
                     const std::vector<double>& link_ns, int micro_batches) {
  check_sizes(forward_ns, backward_ns, micro_batches);
  const int P = static_cast<int>(forward_ns.size());
  MILLRACE_CHECK(link_ns.empty() || static_cast<int>(link_ns.size()) >= P - 1, "schedule",
                 "a link time between each two stages is needed, or none at all");
  double links = 0;
  for (int s = 0; s + 1 < P && !link_ns.empty(); ++s) links += 2 * link_ns[s];
  const double once_through = sum(forward_ns) + sum(backward_ns) + links;
  double bound = once_through;
  double before = 0;  // H_s: one micro-batch through the stages before s, both ways
  for (int s = 0; s < P; ++s) {
    const double own = forward_ns[s] + backward_ns[s];
    const double behind = once_through - before - own;  // R_s
    const int in_flight = std::min(micro_batches, P - s);
    bound = std::max(bound,
                     before + micro_batches * own +
                         idle_ns(forward_ns[s], backward_ns[s], behind, in_flight, micro_batches));
    before += own + (link_ns.empty() || s + 1 == P ? 0 : 2 * link_ns[s]);
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
