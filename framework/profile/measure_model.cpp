#include "framework/profile/measure_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "framework/profile/core_rates.hpp"
#include "framework/profile/feature_team.hpp"
#include "framework/profile/footprint.hpp"
#include "framework/profile/layer_chain.hpp"
#include "framework/profile/loaded_cores.hpp"
#include "framework/profile/pinned_thread.hpp"

namespace millrace {
namespace {

// Shares of the time budget. What one part does not need goes to the later ones.
constexpr double kChoiceWeight = 4, kAloneWeight = 4, kApartWeight = 0.5, kThreadsWeight = 2,
                 kFeaturesWeight = 0.5, kLoadedWeight = 2;
constexpr std::int64_t kChoiceSamples = 16;  ///< implementations are compared at no more than these
constexpr double kProgressEvery_ns = 1e8;

class Measuring {
 public:
  explicit Measuring(const MeasuringJob& job)
      : job_(job),
        counts_(sample_counts(job.batch)),
        most_samples_(samples_that_fit(job.facts, job.memory_bytes, job.batch)),
        shares_(job.end_ns, share_weights(job.topology), steady_ns),
        weights_(job.model) {}

  std::map<std::string, KindTimes> run() {
    std::map<std::string, KindTimes> times;
    for (const CoreKind& kind : job_.topology.kinds) times[kind.name] = measure_kind(kind);
    measure_loaded(times);
    return times;
  }

 private:
  static std::vector<double> share_weights(const Topology& topology);

  MeasuringRules rules(double budget_ns) const {
    return {.budget_ns = budget_ns, .most_samples = most_samples_, .short_pass_ns = 20e6};
  }
  /// Small counts are mostly the later micro-batches of a step, which add to the gradients.
  bool accumulates(std::int64_t samples) const { return 2 * samples < job_.batch; }

  KindTimes measure_kind(const CoreKind& kind);
  void measure_width(const std::string& kind, const std::vector<int>& cpus, KindTimes& times);
  ChainChoice choose(const std::string& name, PinnedThread& core);
  MeasuredCounts measure_chain(const std::string& name, PinnedThread& thread, LayerChain& chain,
                               bool update);
  /// Empty where no layer's backward comes apart.
  MeasuredCounts measure_apart(const std::string& name, PinnedThread& thread, LayerChain& chain,
                               const MeasuredCounts& whole);
  void measure_loaded(std::map<std::string, KindTimes>& times);
  /// Empty where there is one core, or the memory cannot hold a chain for each.
  std::vector<LoadedCore> loaded_cores(const std::map<std::string, KindTimes>& times,
                                       double budget_ns) const;

  /// Reports progress before each layer of a pass.
  LayerChain::BeforeLayer reporting(const std::string& what, std::int64_t samples);

  const MeasuringJob& job_;
  std::vector<std::int64_t> counts_;
  std::int64_t most_samples_;
  BudgetShares shares_;
  ScratchWeights weights_;
  ChainChoice choice_;  ///< the fastest kind's; the replicas of a stage compute alike on every kind
  double last_report_ns_ = 0;
};

std::vector<double> Measuring::share_weights(const Topology& topology) {
  std::vector<double> weights = {kChoiceWeight};
  for (const CoreKind& kind : topology.kinds) {
    weights.insert(weights.end(), {kAloneWeight, kApartWeight});
    const auto cores = static_cast<int>(device_cpus(topology, kind).size());
    for (std::size_t width = 0; width < team_widths(cores).size(); ++width) {
      weights.insert(weights.end(), {kThreadsWeight, kApartWeight, kFeaturesWeight});
    }
  }
  weights.push_back(kLoadedWeight);
  return weights;
}

LayerChain::BeforeLayer Measuring::reporting(const std::string& what, std::int64_t samples) {
  if (!job_.progress) return {};
  return [this, what, samples](std::size_t layer) {
    if (steady_ns() - last_report_ns_ < kProgressEvery_ns) return;
    last_report_ns_ = steady_ns();
    job_.progress(fmt::format("{}, {} samples: {}", what, samples, job_.facts[layer].name));
  };
}

MeasuredCounts Measuring::measure_chain(const std::string& name, PinnedThread& thread,
                                        LayerChain& chain, bool update) {
  const auto pass = [&](std::int64_t samples) {
    PassTimes times;
    thread.run([&] {
      times = chain.forward_backward(samples, accumulates(samples), reporting(name, samples));
      if (update) chain.update(times);
    });
    return times;
  };
  return measure_counts(pass, counts_, rules(shares_.next()), steady_ns);
}

/// Once at each count, in little time: the times of the whole stand, and no part of them is less
/// than what the other leaves (cost_graph.cpp).
MeasuredCounts Measuring::measure_apart(const std::string& name, PinnedThread& thread,
                                        LayerChain& chain, const MeasuredCounts& whole) {
  MeasuringRules once = rules(shares_.next());
  once.most_passes = 1;
  bool any = false;
  for (std::size_t l = 0; l < choice_.size(); ++l)
    any = any || weight_gradient_bytes_per_sample(job_.facts[l], choice_[l]) > 0;
  if (!any) return {};
  const auto pass = [&](std::int64_t samples) {
    PassTimes times;
    thread.run([&] {
      times = chain.forward_backward(samples, accumulates(samples), reporting(name, samples),
                                     LayerChain::Backward::apart);
    });
    return times;
  };
  return at_pace_of(whole, measure_counts(pass, counts_, once, steady_ns));
}

ChainChoice Measuring::choose(const std::string& name, PinnedThread& core) {
  std::vector<std::vector<std::string>> names;
  for (std::size_t l = 0; l < job_.facts.size(); ++l) {
    names.push_back(implementations_of(job_.model.layers[l], job_.facts[l]));
    std::erase_if(names.back(), [this](const std::string& known) {
      return !is_allowed(known, job_.algorithms) || !is_allowed(known, job_.precision);
    });
  }
  ChainChoice current;
  std::set<ChainChoice> warm;  // LibTorch keeps what it prepared for a layer's shapes
  std::optional<LayerChain> chain;
  const auto pass = [&](const ChainChoice& choice, std::int64_t samples) {
    PassTimes times;
    core.run([&] {
      const auto run = [&] {
        PassTimes one = chain->forward_backward(samples, false, reporting(name, samples));
        chain->update(one);  // implementations differ in where the weights' gradient is formed
        return one;
      };
      if (choice != current) {
        chain.emplace(job_.model, job_.facts, choice, weights_);
        current = choice;
        if (warm.insert(choice).second) run();
      }
      times = run();
    });
    return times;
  };
  std::vector<std::int64_t> counts;
  std::copy_if(counts_.begin(), counts_.end(), std::back_inserter(counts),
               [](std::int64_t n) { return n <= kChoiceSamples; });
  std::vector<bool> shared;
  for (const LayerFacts& layer : job_.facts)
    shared.push_back(layer.type == "relu" || layer.type == "relu6");
  return choose_implementations(names, shared, pass, counts, rules(shares_.next()), steady_ns);
}

KindTimes Measuring::measure_kind(const CoreKind& kind) {
  const std::vector<int> cpus = device_cpus(job_.topology, kind);
  KindTimes times;
  {
    PinnedThread core({cpus.back()});  // the first CPUs take most interrupts
    if (choice_.empty()) choice_ = choose(kind.name, core);
    times.choice = choice_;
    LayerChain chain(job_.model, job_.facts, times.choice, weights_);
    times.alone = measure_chain(kind.name, core, chain, /*update=*/true);
    times.apart = measure_apart(kind.name, core, chain, times.alone);
    times.workspace_bytes = chain.workspace_bytes();
  }
  for (const int width : team_widths(static_cast<int>(cpus.size()))) {
    measure_width(kind.name, {cpus.begin(), cpus.begin() + width}, times);
  }
  return times;
}

void Measuring::measure_width(const std::string& kind, const std::vector<int>& cpus,
                              KindTimes& times) {
  const auto width = static_cast<int>(cpus.size());
  {
    PinnedThread team(cpus);
    LayerChain chain(job_.model, job_.facts, times.choice, weights_);
    const std::string name = fmt::format("{}, {} threads", kind, width);
    times.threads[width] = measure_chain(name, team, chain, /*update=*/false);
    times.threads_apart[width] = measure_apart(name, team, chain, times.threads[width]);
  }
  FeatureTeam team(job_.model, job_.facts, times.choice, cpus);
  const std::string name = fmt::format("{}, {} slices", kind, width);
  const auto pass = [&](std::int64_t samples) {
    return team.pass(samples, reporting(name, samples));
  };
  times.features[width] = measure_counts(pass, counts_, rules(shares_.next()), steady_ns);
}

std::vector<LoadedCore> Measuring::loaded_cores(const std::map<std::string, KindTimes>& times,
                                                double budget_ns) const {
  std::vector<LoadedCore> cores;
  std::vector<double> costs;
  for (const CoreKind& kind : job_.topology.kinds) {
    const KindTimes& own = times.at(kind.name);
    for (const int cpu : device_cpus(job_.topology, kind)) {
      cores.push_back({cpu, kind.name, own.choice, 1});
      costs.push_back(ns_per_sample(own.alone));
    }
  }
  const std::vector<std::int64_t> shares =
      balanced_shares(costs, affordable_batch(costs, budget_ns, job_.batch));
  const bool fits = job_.memory_bytes <= 0 || chains_bytes(job_.facts, shares) <= job_.memory_bytes;
  if (cores.size() < 2 || !fits) return {};
  for (std::size_t i = 0; i < cores.size(); ++i) cores[i].samples = shares[i];
  return cores;
}

void Measuring::measure_loaded(std::map<std::string, KindTimes>& times) {
  const double budget_ns = shares_.next();
  const std::vector<LoadedCore> cores = loaded_cores(times, budget_ns);
  if (cores.empty()) return;
  LoadedCores all(job_.model, job_.facts, weights_, cores);
  std::map<std::string, std::vector<PassTimes>> by_kind;
  bool warm = false;
  const auto pass = [&](std::int64_t samples) {
    const std::vector<PassTimes> passes = all.pass(reporting("all cores", samples));
    for (std::size_t i = 0; warm && i < cores.size(); ++i) {
      by_kind[cores[i].kind].push_back(passes[i]);
    }
    warm = true;
    return passes.front();
  };
  measure_counts(pass, {cores.front().samples}, rules(budget_ns), steady_ns);
  for (const LoadedCore& core : cores) {
    KindTimes& own = times.at(core.kind);
    own.loaded = loaded_factors(own.alone, by_kind.at(core.kind), core.samples,
                                static_cast<int>(cores.size()));
  }
}

}  // namespace

std::map<std::string, KindTimes> measure_model(const MeasuringJob& job) {
  return Measuring(job).run();
}

}  // namespace millrace
