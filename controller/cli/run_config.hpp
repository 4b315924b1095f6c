#pragma once
// Everything a run can be told, resolved from flags, --set, the config file and the defaults.

#include <cstdint>
#include <optional>
#include <string>

#include "millrace/optimizer.hpp"
#include "millrace/plan.hpp"
#include "millrace/profiler.hpp"

namespace millrace::cli {

/// What `--batch auto` means: a plan makes it fit the memory by micro-batches and recomputation.
inline constexpr std::int64_t kAutomaticBatch = 64;

/// `auto` is an absent value elsewhere.
struct RunConfig {
  std::string model;  ///< a name of the zoo or an ONNX file; "" where a verb takes none

  std::string cores = "all";  ///< as select_cores takes it
  std::string gpu = "auto";   ///< "auto" or "none"
  std::optional<std::int64_t> memory_bytes;

  std::int64_t batch = kAutomaticBatch;
  std::optional<std::int64_t> micro_batch;
  std::string schedule = "auto";
  bool any_cut = false;
  std::optional<std::int64_t> max_stages, max_replicas;
  RecomputePolicy recompute = RecomputePolicy::automatic;
  BatchStatistics statistics = BatchStatistics::batch;
  Objective objective = Objective::makespan;
  std::optional<std::int64_t> search_ns;  ///< absent: an amount of work
  std::int64_t refine = 1;                ///< plans that are tried on the machine
  std::string plan_file;
  std::string costs_file;              ///< what plan_file was made for; "": measured
  std::optional<Precision> precision;  ///< absent: fp32, or what plan_file has
  Algorithms algorithms = Algorithms::all;

  std::string data;  ///< folder or files of a data set; "": the generated set in the cache folder
  bool skip_bad_images = false;

  std::optional<std::int64_t> epochs, steps, time_ns;  ///< at most one: when the run ends
  /// Seconds since 1970; the run is over by then. It ends the run where none of the above does.
  std::optional<std::int64_t> deadline;
  std::optional<double> energy_joules;  ///< the run ends when it has used so much
  std::optional<double> max_celsius;    ///< the run ends when the machine is that hot
  bool replan = true;                   ///< another plan where the machine has changed
  std::int64_t patience = 0;            ///< evaluations without a better one; 0: the run goes on
  std::uint64_t seed = 1;
  std::string weights;    ///< a file to start from: .safetensors, or what torch.save wrote
  bool new_head = false;  ///< the last layer starts afresh though `weights` has one
  OptimizerSettings optimizer;
  LearningRateSchedule learning_rate;

  std::int64_t checkpoint_every_steps = 200;
  std::int64_t checkpoint_keep = 2;
  std::int64_t evaluate_every_epochs = 1;

  bool tensorboard = false;               ///< event files in the run's folder
  std::optional<std::int64_t> http_port;  ///< absent: no server; 0: any that is free
};

}  // namespace millrace::cli
