#pragma once
// How much is measured within a time budget. Pure decisions over passes, tested on a fake clock.
// A pass runs every layer of the model once, in order, at one sample count n.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace millrace {

/// What one pass took, ns by layer; a part that the pass did not have is empty.
struct PassTimes {
  std::vector<double> forward_ns, backward_ns, update_ns;
  /// The backward part in two; a layer that does not come apart has 0 in the second.
  std::vector<double> input_gradient_ns, weight_gradient_ns;

  double layer_ns(std::size_t layer) const;
  double total_ns() const;
};

/// By number of samples of a pass, and layer.
using WorkspaceBytes = std::map<std::int64_t, std::vector<double>>;

using NowNs = std::function<double()>;  ///< steady, any origin
using RunPass = std::function<PassTimes(std::int64_t samples)>;

/// Passes by sample count; every count that is there has at least one.
using MeasuredCounts = std::map<std::int64_t, std::vector<PassTimes>>;

/// The counts that a profile for `batch` has: 1, 4, 16, … below batch / 2 (two equal replicas are
/// common), batch / 2, batch. Ascending, each once.
std::vector<std::int64_t> sample_counts(std::int64_t batch);

/// Team widths worth measuring on `cores` cores: 2, 4, 8, …, cores. Empty below 2.
std::vector<int> team_widths(int cores);

struct MeasuringRules {
  double budget_ns = 0;
  std::int64_t most_samples = 0;  ///< larger counts do not fit into memory
  int least_counts = 2;           ///< measured whatever they take: a line needs two points
  int settled_passes = 3;         ///< a count is done after so many passes …
  double settled_spread = 0.01;   ///< … that differ by no more than this (half range / median),
  int most_passes = 7;            ///< or after this many
  double short_pass_ns = 0;       ///< passes below it are compared by more repeats
};

/// Measures ascending `counts`: at each one pass to warm up and one that counts, as long as both
/// are expected to fit into the budget; then repeats, fewest passes first, until every count is
/// settled or no repeat fits. Large counts thus get fewer.
MeasuredCounts measure_counts(const RunPass& run, const std::vector<std::int64_t>& counts,
                              const MeasuringRules& rules, const NowNs& now);

/// Which part of PassTimes.
using PassPart = std::vector<double> PassTimes::*;

/// Median over the passes for one layer, at every count of `counts`. Counts that were not measured
/// continue the line through the two nearest measured ones below; the curve never falls.
std::vector<double> layer_curve(const MeasuredCounts& measured,
                                const std::vector<std::int64_t>& counts, PassPart part,
                                std::size_t layer);

/// The two parts of backward at the pace of the passes with the whole, which were measured before
/// them: by what all layers' forward took in both, because a machine's speed drifts and the parts
/// are measured seldom. Counts that `whole` lacks stay as they are.
MeasuredCounts at_pace_of(const MeasuredCounts& whole, MeasuredCounts apart);

/// Run-to-run spread of forward + backward of one layer in percent: a robust standard deviation
/// (1.4826 x median absolute deviation from the median of the count) pooled over the counts.
double spread_percent(const MeasuredCounts& measured, std::size_t layer);

/// Of a whole pass at the largest count that was measured.
double ns_per_sample(const MeasuredCounts& measured);

/// Median; 0 of nothing.
double median(std::vector<double> values);

/// Hands out what is left of a budget in proportion to weights, so that what one part of the
/// measuring did not need goes to the later ones.
class BudgetShares {
 public:
  BudgetShares(double end_ns, std::vector<double> weights, NowNs now);

  /// The share of the next part, ns from now; 0 where the budget is spent.
  double next();

 private:
  double end_ns_;
  std::vector<double> weights_;
  std::size_t next_ = 0;
  NowNs now_;
};

}  // namespace millrace
