#pragma once
// Where batches are decoded while a plan trains. Pure.

#include <vector>

#include "millrace/plan.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {

struct DecodingPlace {
  std::vector<int> cpus;
  /// While stages work; else between steps, as there decoding would take a core from a team that
  /// waits for it (docs/decisions/0008).
  bool beside_steps = true;
  bool operator==(const DecodingPlace&) const = default;
};

/// The cores that no stage owns; where every core has a stage, all of them: in the bubbles of
/// several stages, between the steps of one.
DecodingPlace decoding_place(const Plan& plan, const Topology& topology);

}  // namespace millrace::cli
