#include "framework/profile/loaded_cores.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "millrace/profile.hpp"

namespace millrace {
namespace {

constexpr double kLightLayer = 0.002;  ///< of the whole chain's time
/// Passes to afford, slower under load, in passes of cores alone: a warm-up and two that count.
constexpr double kPasses = 4.5;

std::vector<int> cpus_of(const std::vector<LoadedCore>& cores) {
  std::vector<int> cpus;
  for (const LoadedCore& core : cores) cpus.push_back(core.cpu);
  return cpus;
}

/// Of all cores together.
double samples_per_ns(const std::vector<double>& ns_per_sample) {
  double rate = 0;
  for (const double ns : ns_per_sample) rate += 1 / ns;
  return rate;
}

}  // namespace

/// The cores as one of them sees them, while a pass runs.
class LoadedCores::Meeting final : public Replicas {
 public:
  Meeting(std::vector<std::vector<double>>& brought, std::size_t core)
      : brought_(brought), core_(core) {}

  void begin(const CoreTeam::Meet& meet) { meet_ = &meet; }

  std::vector<std::vector<double>> gather(std::vector<double> own) override {
    brought_[core_] = std::move(own);
    (*meet_)();
    std::vector<std::vector<double>> all = brought_;
    (*meet_)();  // before anybody brings the next ones
    return all;
  }
  bool keeps_records() const override { return false; }

 private:
  std::vector<std::vector<double>>& brought_;
  std::size_t core_;
  const CoreTeam::Meet* meet_ = nullptr;
};

LoadedCores::LoadedCores(const Model& model, const std::vector<LayerFacts>& facts,
                         ScratchWeights& weights, const std::vector<LoadedCore>& cores)
    : cores_(cores), brought_(cores.size()), team_(cpus_of(cores)) {
  for (std::size_t i = 0; i < cores_.size(); ++i) {
    meetings_.push_back(std::make_unique<Meeting>(brought_, i));
    chains_.push_back(std::make_unique<LayerChain>(model, facts, cores_[i].choice, weights,
                                                   meetings_.back().get()));
  }
}

LoadedCores::~LoadedCores() = default;

std::vector<PassTimes> LoadedCores::pass(const LayerChain::BeforeLayer& before) {
  std::vector<PassTimes> times(cores_.size());
  team_.run([&](int member, const CoreTeam::Meet& meet) {
    const auto m = static_cast<std::size_t>(member);
    meetings_[m]->begin(meet);
    meet();
    times[m] = chains_[m]->forward_backward(cores_[m].samples, /*accumulate=*/false,
                                            member == 0 ? before : LayerChain::BeforeLayer());
    meet();  // nobody reads the weights any more
    chains_[m]->update(times[m], member, team_.size());
  });
  return times;
}

std::int64_t affordable_batch(const std::vector<double>& ns_per_sample, double budget_ns,
                              std::int64_t batch) {
  const double samples = budget_ns / kPasses * samples_per_ns(ns_per_sample);
  const auto least = static_cast<std::int64_t>(ns_per_sample.size());
  if (samples >= static_cast<double>(batch)) return std::max(least, batch);
  return std::max(least, static_cast<std::int64_t>(samples));
}

std::vector<std::int64_t> balanced_shares(const std::vector<double>& ns_per_sample,
                                          std::int64_t batch) {
  const double all = samples_per_ns(ns_per_sample);
  std::vector<std::int64_t> shares;
  for (const double ns : ns_per_sample) {
    const double share = static_cast<double>(batch) / ns / all;
    shares.push_back(std::max<std::int64_t>(1, std::llround(share)));
  }
  return shares;
}

std::vector<double> loaded_factors(const MeasuredCounts& alone,
                                   const std::vector<PassTimes>& loaded, std::int64_t samples,
                                   int parts) {
  std::vector<std::int64_t> counts;
  for (const auto& [count, passes] : alone) counts.push_back(count);
  const auto at_share = [&](PassPart part, std::size_t layer) {
    return interpolate_ns(counts, layer_curve(alone, counts, part, layer),
                          static_cast<double>(samples));
  };
  const std::size_t layers = loaded.front().forward_ns.size();
  std::vector<double> alone_ns, loaded_ns;
  for (std::size_t l = 0; l < layers; ++l) {
    alone_ns.push_back(at_share(&PassTimes::forward_ns, l) + at_share(&PassTimes::backward_ns, l) +
                       at_share(&PassTimes::update_ns, l) / parts);
    std::vector<double> times;
    for (const PassTimes& pass : loaded) times.push_back(pass.layer_ns(l));
    loaded_ns.push_back(median(std::move(times)));
  }
  const double light_ns = kLightLayer * std::accumulate(alone_ns.begin(), alone_ns.end(), 0.0);
  std::vector<double> factors;
  for (std::size_t l = 0; l < layers; ++l) {
    factors.push_back(alone_ns[l] < light_ns || light_ns == 0 ? 1 : loaded_ns[l] / alone_ns[l]);
  }
  return factors;
}

}  // namespace millrace
