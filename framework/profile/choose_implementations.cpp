#include "framework/profile/choose_implementations.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "framework/layers/implementation_names.hpp"
#include "millrace/profiler.hpp"

namespace millrace {
namespace {

constexpr double kClearlySlower = 1.2;
constexpr double kWorthChanging = 0.99;
constexpr int kRepeats = 2;
/// A disturbance (another program's time slice) takes a few ms: it may fill short passes, so these
/// are repeated more often, and no chain is dropped after one.
constexpr int kShortPassRepeats = 6;
/// Comparing at a sample count takes about so many passes of the first chain.
constexpr double kRounds = 9;
/// Trying a count takes two passes, the first of which takes about twice as long.
constexpr double kTrial = 3;

/// `name` where the layer has it, else its last of the same precision: the later ones of a layer go
/// with each other's layouts.
std::string nearest(const std::vector<std::string>& layer, const std::string& name) {
  if (std::find(layer.begin(), layer.end(), name) != layer.end()) return name;
  const auto same = std::find_if(layer.rbegin(), layer.rend(), [&](const std::string& other) {
    return is_bf16(other) == is_bf16(name);
  });
  return same == layer.rend() ? layer.back() : *same;
}

/// The chain that uses `name` wherever it exists.
ChainChoice uniform_chain(const std::vector<std::vector<std::string>>& names,
                          const std::string& name) {
  ChainChoice chain;
  for (const auto& layer : names) chain.push_back(nearest(layer, name));
  return chain;
}

/// Every distinct chain that prefers one name, the default chain first.
std::vector<ChainChoice> uniform_chains(const std::vector<std::vector<std::string>>& names) {
  ChainChoice defaults;
  for (const auto& layer : names) defaults.push_back(layer.front());
  std::vector<ChainChoice> chains = {defaults};
  for (const auto& layer : names) {
    for (const std::string& name : layer) {
      ChainChoice chain = uniform_chain(names, name);
      if (std::find(chains.begin(), chains.end(), chain) == chains.end()) chains.push_back(chain);
    }
  }
  return chains;
}

struct MeasuredChain {
  ChainChoice chain;
  std::vector<PassTimes> passes;

  /// Of the layers' least times: what disturbs one pass seldom meets the same layer of another.
  double best_ns() const {
    double sum = 0;
    for (std::size_t layer = 0; layer < chain.size(); ++layer) sum += layer_ns(layer);
    return sum;
  }
  double layer_ns(std::size_t layer) const {
    double best = std::numeric_limits<double>::infinity();
    for (const PassTimes& pass : passes) best = std::min(best, pass.layer_ns(layer));
    return best;
  }
};

/// Of the layer and of those beside it whose work it may do.
double with_shared_ns(const MeasuredChain& measured, const std::vector<bool>& shared,
                      std::size_t layer) {
  double sum = measured.layer_ns(layer);
  if (layer > 0 && shared[layer - 1]) sum += measured.layer_ns(layer - 1);
  if (layer + 1 < shared.size() && shared[layer + 1]) sum += measured.layer_ns(layer + 1);
  return sum;
}

ChainChoice fastest_layers(const std::vector<MeasuredChain>& measured,
                           const std::vector<bool>& shared) {
  ChainChoice mixed = measured.front().chain;
  for (std::size_t layer = 0; layer < mixed.size(); ++layer) {
    double best = with_shared_ns(measured.front(), shared, layer);
    for (const MeasuredChain& candidate : measured) {
      const double ns = with_shared_ns(candidate, shared, layer);
      if (ns >= kWorthChanging * best) continue;
      best = ns;
      mixed[layer] = candidate.chain[layer];
    }
  }
  return mixed;
}

/// Measures chains in turn, so that a machine whose speed drifts treats them alike, and each only
/// as long as it may still win.
class Comparison {
 public:
  Comparison(const RunChain& run, const std::vector<bool>& shared, std::int64_t samples,
             double short_pass_ns)
      : run_(run), shared_(shared), samples_(samples), short_pass_ns_(short_pass_ns) {}

  void add(const ChainChoice& chain) {
    measured_.push_back({chain, {run_(chain, samples_)}});
    best_ns_ = std::min(best_ns_, measured_.back().best_ns());
  }

  void repeat() {
    const bool is_short = best_ns_ < short_pass_ns_;
    for (int i = 0; i < (is_short ? kShortPassRepeats : kRepeats); ++i) {
      for (MeasuredChain& one : measured_) {
        if (!is_short && one.best_ns() >= kClearlySlower * best_ns_) continue;
        one.passes.push_back(run_(one.chain, samples_));
        best_ns_ = std::min(best_ns_, one.best_ns());
      }
    }
  }

  /// Of each layer's fastest implementations, conversions between them apart.
  ChainChoice mixture() const { return fastest_layers(measured_, shared_); }

  /// The first chain, or a later one that is faster by more than a percent.
  ChainChoice winner() const {
    const MeasuredChain* chosen = &measured_.front();
    for (const MeasuredChain& candidate : measured_) {
      if (candidate.best_ns() < kWorthChanging * chosen->best_ns()) chosen = &candidate;
    }
    return chosen->chain;
  }

 private:
  const RunChain& run_;
  const std::vector<bool>& shared_;
  std::int64_t samples_;
  double short_pass_ns_;
  double best_ns_ = std::numeric_limits<double>::infinity();
  std::vector<MeasuredChain> measured_;
};

/// A pass of more samples, foreseen on the line through the last two: a chain has costs whatever
/// the samples (transforms and updates of the weights).
class Foreseen {
 public:
  void add(std::int64_t samples, double ns) {
    const double more = ns - ns_;
    per_sample_ns_ = std::max(more, 0.0) / static_cast<double>(samples - samples_);
    samples_ = samples;
    ns_ = ns;
  }
  double ns(std::int64_t samples) const {
    return ns_ + per_sample_ns_ * static_cast<double>(samples - samples_);
  }

 private:
  std::int64_t samples_ = 0;
  double ns_ = 0, per_sample_ns_ = 0;
};

/// The largest of `counts` at which all chains can be compared within the budget. What a chain
/// costs whatever the samples counts too much at small ones, so they are only looked at to foresee
/// the larger.
std::int64_t affordable_count(const ChainChoice& chain, const RunChain& run,
                              const std::vector<std::int64_t>& counts, const MeasuringRules& rules,
                              const NowNs& now) {
  const double end_ns = now() + rules.budget_ns;
  Foreseen foreseen;
  std::int64_t affordable = counts.front();
  for (const std::int64_t samples : counts) {
    if (samples > rules.most_samples || kTrial * foreseen.ns(samples) > end_ns - now()) break;
    run(chain, samples);  // first touch of memory and code, which takes twice as long
    foreseen.add(samples, run(chain, samples).total_ns());
    if (kRounds * foreseen.ns(samples) > end_ns - now()) break;
    affordable = samples;
  }
  return affordable;
}

}  // namespace

bool is_allowed(const std::string& implementation, Algorithms algorithms) {
  return algorithms == Algorithms::all || !is_winograd(implementation);
}

bool is_allowed(const std::string& implementation, Precision precision) {
  return precision == Precision::bf16 || !is_bf16(implementation);
}

ChainChoice choose_implementations(const std::vector<std::vector<std::string>>& names,
                                   const std::vector<bool>& shared, const RunChain& run,
                                   const std::vector<std::int64_t>& counts,
                                   const MeasuringRules& rules, const NowNs& now) {
  const std::vector<ChainChoice> chains = uniform_chains(names);
  if (chains.size() == 1) return chains.front();
  Comparison comparison(run, shared, affordable_count(chains.front(), run, counts, rules, now),
                        rules.short_pass_ns);
  for (const ChainChoice& chain : chains) comparison.add(chain);
  comparison.repeat();
  const ChainChoice mixed = comparison.mixture();
  if (std::find(chains.begin(), chains.end(), mixed) == chains.end()) {
    comparison.add(mixed);
    comparison.repeat();
  }
  return comparison.winner();
}

}  // namespace millrace
