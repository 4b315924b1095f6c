#pragma once
// What each verb was asked for: its flags as values, checked as far as no tensor is needed.

#include <cstdint>
#include <string>
#include <vector>

#include "controller/cli/config_layers.hpp"
#include "controller/cli/run_config.hpp"
#include "millrace/log.hpp"

namespace millrace::cli {

/// Flags that every verb has.
struct Presentation {
  bool json = false;
  Verbosity verbosity = Verbosity::normal;
};

struct ProfileCommand {
  RunConfig config;
  std::string output;  ///< "": none
  bool fresh = false;  ///< measure though a profile is kept
  std::string board;   ///< what it might cost there; "": here
};

struct PlanCommand {
  RunConfig config;
  std::string costs;  ///< a cost file instead of a model
  std::string board;  ///< plan for it; "": for this machine
  std::string output;
  bool explain = false;
};

struct EstimateCommand {
  RunConfig config;                   ///< with the largest of `batches`
  std::vector<std::int64_t> batches;  ///< ascending; several are compared
  std::vector<int> core_counts;       ///< ascending; compared; empty: the cores there are
  std::string costs;                  ///< a cost file instead of measuring; "": none
  std::string board;                  ///< what it might take there; "": here

  /// Whether plans are compared, not one run estimated.
  bool compares() const { return batches.size() > 1 || !core_counts.empty() || config.deadline; }
};

struct TrainCommand {
  RunConfig config;
  std::string out;
  bool force = false;
};

struct ResumeCommand {
  std::string folder;
  SettingLayers layers;  ///< over the run's config.toml: other cores or another plan
};

struct EvalCommand {
  std::string source;      ///< a run folder or a file of weights
  std::string checkpoint;  ///< "best", "last" or a step
  SettingLayers layers;    ///< over the configuration of the run, if it is one
};

struct PredictCommand {
  std::string source, checkpoint;
  std::vector<std::string> inputs;  ///< images, or beginnings of texts
  bool skip_bad_images = false;     ///< warn of them instead of stopping
  std::int64_t length = 200;        ///< characters that a text goes on for
  std::uint64_t seed = 1;           ///< of their draws
};

struct ExportCommand {
  std::string folder, checkpoint, output;
};

}  // namespace millrace::cli
