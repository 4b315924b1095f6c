#pragma once
// What a training left, read back: the configuration of its folder, a checkpoint's model.

#include <cstdint>
#include <string>

#include "controller/checkpoint.hpp"
#include "controller/cli/config_layers.hpp"
#include "millrace/model.hpp"

namespace millrace::cli {

struct TrainedModel {
  Model model;
  TrainingFacts facts;
  std::int64_t step = 0;
};

/// The model of a run folder's checkpoint ("best", "last" or a step).
/// Throws ConfigError (tags "run", "checkpoint").
TrainedModel open_trained(const std::string& folder, const std::string& checkpoint);

/// The configuration of a run under what the command line says. The run's own plan is kept unless
/// the command line speaks of the machine or the plan. Throws ConfigError: no run there, or another
/// model, batch or seed is asked for than it has.
RunConfig config_of_run(const std::string& folder, const SettingLayers& layers);

}  // namespace millrace::cli
