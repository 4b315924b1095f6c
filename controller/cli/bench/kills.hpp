#pragma once
// `bench --kills N`: trainings killed at random moments and resumed, against one that never was.

#include <cstdint>
#include <string>

#include "controller/cli/bench/trainings.hpp"

namespace millrace::cli {

struct KillsReport {
  std::string model;
  std::int64_t steps = 0, checkpoint_every_steps = 0;
  int tried = 0;
  int after_the_end = 0;  ///< of these: it had ended
  int resumed = 0;
  int identical = 0;  ///< of the resumed: weights and optimizer state with the same bits
};

/// Each training has `steps` steps under one plan with a checkpoint after every twentieth part of
/// them; the seed draws the moments, from when its folder can be resumed to its end. A
/// resume that fails is shown and counts for nothing. Throws as Trainings::json_of().
KillsReport measure_kills(const Trainings& trainings, const RunConfig& config, std::int64_t steps,
                          int kills);

/// Whether both runs' newest checkpoints hold the same tensors. Throws ConfigError (tag
/// "checkpoint") where there is none.
bool same_state(const std::filesystem::path& run, const std::filesystem::path& other);

std::string to_json(const KillsReport& report);
std::string to_table(const KillsReport& report);

}  // namespace millrace::cli
