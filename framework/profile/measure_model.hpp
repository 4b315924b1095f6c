#pragma once
// Runs the passes that a profile is made of, on pinned threads, within a time budget.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "framework/profile/choose_implementations.hpp"
#include "framework/profile/measuring.hpp"
#include "millrace/model.hpp"
#include "millrace/profiler.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// What was measured on one kind of core.
struct KindTimes {
  ChainChoice choice;                      ///< implementation by layer, for all of the rest
  WorkspaceBytes workspace_bytes;          ///< of one core
  MeasuredCounts alone;                    ///< one core, the others idle; with the update
  std::map<int, MeasuredCounts> threads;   ///< by team width, no update
  std::map<int, MeasuredCounts> features;  ///< by number of cores; 0 for undivided layers
  std::vector<double> loaded;  ///< by layer, time with all cores busy / alone; empty: not measured
  /// As `alone` and `threads`, the backward part in two; empty where no layer's comes apart.
  MeasuredCounts apart;
  std::map<int, MeasuredCounts> threads_apart;
};

struct MeasuringJob {
  const Model& model;
  const std::vector<LayerFacts>& facts;
  const Topology& topology;
  std::int64_t batch = 1;
  Algorithms algorithms = Algorithms::all;
  Precision precision = Precision::fp32;
  double memory_bytes = 0;  ///< what measuring may take; 0: unknown
  double end_ns = 0;        ///< by steady_ns()
  /// Called from the measuring threads, one at a time, about ten times a second; may throw to end
  /// the measuring. May be empty.
  std::function<void(const std::string& what)> progress;
};

/// By kind of job.topology. One core of each kind is measured alone, teams of its cores, and all
/// cores of all kinds at once, each with a share of the batch that takes it equally long.
/// Throws ResourceError (tag "profile") where one sample does not fit into the memory.
std::map<std::string, KindTimes> measure_model(const MeasuringJob& job);

}  // namespace millrace
