#pragma once
// Training by a plan: stages on an executor, as TrainStep runs them, on any number of cores.

#include <string>
#include <vector>

#include "millrace/plan.hpp"
#include "tests/transparency/plain_training.hpp"

namespace millrace::test {

/// What is varied. Layers, in the model's order or in another in which they can run, are cut into
/// `stages` about equal runs.
struct Shape {
  int stages = 1;
  std::vector<std::int64_t> shares = {1};  ///< of each stage's replicas, relative
  std::int64_t micro_batch = 1;
  std::string schedule = "1f1b";
  bool recompute = false;                    ///< every second run of two layers
  bool features = false;                     ///< every layer that can be is divided by features
  std::vector<std::string> implementations;  ///< of each layer the first that it has
  std::uint32_t order = 0;                   ///< seed of another order; 0: the model's
  int lanes = 0;                             ///< sets of devices that take turns; 0: one a stage

  std::string text() const;
};

Plan make_plan(const Model& model, std::int64_t batch, const Shape& shape);

/// As train_plainly().
NamedTensors train_by_plan(const Model& model, const Plan& plan, const std::vector<Batch>& batches,
                           const OptimizerSettings& optimizer, std::uint64_t seed);

/// The largest of max|a - b| / max|a| over the tensors, and whose it is.
struct Difference {
  double value = 0;
  std::string name;
};
Difference compare(const NamedTensors& expected, const NamedTensors& actual);

}  // namespace millrace::test
