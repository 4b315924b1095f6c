#pragma once
// How others cut a model into a pipeline, to compare the search with: on costs of one device, in
// one order of the layers.

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace {

/// Consecutive layers on devices of one kind, which share its samples evenly.
struct Block {
  int layers = 0;
  int devices = 1;
  bool operator==(const Block&) const = default;
};

/// P blocks with as many layers each as can be. REQUIRES 1 <= P <= layers, as all that follow.
std::vector<Block> equal_split(int layers, int P);

/// torchgpipe's blockpartition.solve: from an even split, the border that makes the most expensive
/// block cheaper is moved until none does.
std::vector<Block> block_partition(const std::vector<double>& costs, int P);

/// The least largest block. Minimises sum + (M - 1) max, too: the sum is that of all layers.
std::vector<Block> least_largest(const std::vector<double>& costs, int P);

/// PipeDream's dynamic program, without transfers: the least largest block time on P devices, a
/// block of n devices taking 1/n of its cost.
std::vector<Block> least_bottleneck(const std::vector<double>& costs, int P);

/// A planner with its name.
struct Planner {
  std::string name;
  std::vector<Block> (*cut)(const std::vector<double>& costs, int P);
};
const std::vector<Planner>& planners();

/// The blocks as a plan on the first devices of the profile's kinds.
Plan plan_of(const Profile& profile, const std::vector<Block>& blocks, std::int64_t batch,
             std::int64_t micro_batch, const std::string& schedule);

/// The least step time by simulation of what a planner makes of all devices, over the schedules and
/// 1, 2, 4, … micro-batches, ns. Costs are those of the profile's first kind.
double best_step_ns(const Profile& profile, const Planner& planner, std::int64_t batch);

}  // namespace millrace
