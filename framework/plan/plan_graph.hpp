#pragma once
// The layers of a profile in an order of execution, who reads what, and what a cut sends.

#include <cstddef>
#include <vector>

#include "millrace/profile.hpp"

namespace millrace {

/// A tensor, or the gradient of one, between positions of the order: a cut sends it where it holds
/// one of `inside` and lacks one of `outside`.
struct Crossing {
  std::vector<int> inside, outside;
  double bytes = 0;  ///< per sample
  bool backward = false;
};

/// Positions are those of `order`: every layer stands behind those that it reads.
struct PlanGraph {
  std::vector<int> order;                         ///< position -> index into Profile::layers
  std::vector<std::vector<int>> inputs, readers;  ///< positions, each once
  std::vector<Crossing> crossings;
  std::vector<std::vector<std::size_t>> tensors;  ///< by position: crossings that it reads
  /// By position, per sample, while a run that ends with the layer is made again: the tensors that
  /// others read of it, their gradients, and those of what is added to them.
  std::vector<double> run_end_bytes;

  /// What it saves is the step's own input, which is there whatever is recomputed.
  bool reads_sample(int position) const {
    return tensors[static_cast<std::size_t>(position)].empty();
  }
};

/// Of the orders that the tensors allow the one that keeps most to that of the file: always the
/// first layer of the file whose inputs are there. Gradients that are not given are as large as
/// their tensor, summed over its readers on their way. Throws ConfigError (tag "plan") for a
/// gradient between layers that no forward tensor joins.
PlanGraph plan_graph(const Profile& profile);

/// What layers that follow each other in a stage read of others, tensor by tensor.
class RunReads {
 public:
  explicit RunReads(const PlanGraph& graph)
      : graph_(&graph), members_(graph.order.size(), false), read_(graph.crossings.size(), false) {}

  /// The run has the layer, too, behind those before: bytes per sample of all that it reads of
  /// others.
  double add(int position);

 private:
  const PlanGraph* graph_;
  std::vector<bool> members_;  // by position
  std::vector<bool> read_;     // by crossing
  double bytes_ = 0;
};

}  // namespace millrace
