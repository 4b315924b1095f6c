#pragma once
// Every core busy with the same kind of work: each trains its share of a batch, on shared weights,
// as replicas do, meeting where these meet (batch normalisation): waiting for one another is part
// of what a layer takes. That, compared with the core alone, is its loaded factor.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "framework/profile/choose_implementations.hpp"
#include "framework/profile/core_team.hpp"
#include "framework/profile/layer_chain.hpp"
#include "framework/profile/measuring.hpp"
#include "millrace/model.hpp"

namespace millrace {

struct LoadedCore {
  int cpu = 0;
  std::string kind;
  ChainChoice choice;
  std::int64_t samples = 1;  ///< its share
};

/// Not thread-safe.
class LoadedCores {
 public:
  /// `weights` must outlive this.
  LoadedCores(const Model& model, const std::vector<LayerFacts>& facts, ScratchWeights& weights,
              const std::vector<LoadedCore>& cores);

  ~LoadedCores();

  /// One step on all cores at once, by core: forward and backward of its share, then the update of
  /// its part of the weights. `before` is called on the first core only.
  std::vector<PassTimes> pass(const LayerChain::BeforeLayer& before = {});

 private:
  class Meeting;

  std::vector<LoadedCore> cores_;
  std::vector<std::vector<double>> brought_;         // to a meeting, by core
  std::vector<std::unique_ptr<Meeting>> meetings_;   // by core
  std::vector<std::unique_ptr<LayerChain>> chains_;  // by core
  CoreTeam team_;
};

/// The largest batch up to `batch`, at least one sample for each core, that such cores can train a
/// few times, loaded, within the budget.
std::int64_t affordable_batch(const std::vector<double>& ns_per_sample, double budget_ns,
                              std::int64_t batch);

/// Samples of a batch for cores that take `ns_per_sample` each, so that all are ready at about the
/// same time; at least one each, so the sum may exceed a small batch.
std::vector<std::int64_t> balanced_shares(const std::vector<double>& ns_per_sample,
                                          std::int64_t batch);

/// By layer: the median time of the loaded passes over the time alone, at `samples` samples and
/// 1 / `parts` of the update. Layers that hardly take time have 1: their ratio is noise.
std::vector<double> loaded_factors(const MeasuredCounts& alone,
                                   const std::vector<PassTimes>& loaded, std::int64_t samples,
                                   int parts);

}  // namespace millrace
