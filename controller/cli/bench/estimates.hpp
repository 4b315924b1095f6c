#pragma once
// `bench --estimates`: many short trainings under different plans, foretold and measured, each
// beside a loop that is none of ours.

#include <cstdint>
#include <string>
#include <vector>

#include "controller/cli/bench/trainings.hpp"

namespace millrace::cli {

struct EstimateRow {
  std::string model;
  std::int64_t batch = 0;
  std::string plan;  ///< what was asked of the search
  std::string note;  ///< why it could not be trained; "": it was
  std::int64_t steps = 0;
  double expected_ns = 0, latest_ns = 0, measured_ns = 0;
  double noise_percent = 0;  ///< by so much the loop was not as foretold

  double error_percent() const;
  bool kept() const { return measured_ns <= latest_ns; }
};

struct EstimatesReport {
  std::vector<EstimateRow> rows;
};

/// Over the rows that were trained.
struct EstimatesSummary {
  int trained = 0, kept = 0;
  double mean_error_percent = 0, largest_error_percent = 0;
  double mean_noise_percent = 0, largest_noise_percent = 0;
  double latest_above_percent = 0;  ///< mean, of the latest time above the expected one
};
EstimatesSummary summary_of(const EstimatesReport& report);

/// The cores that are trained on.
struct EstimatedCores {
  std::vector<int> cpus;
  int first_cpu = 0;  ///< the one of the plan "one core"
};

/// Five plans for the configured batch and half of it, each trained for about `seconds`; the rows
/// join those of `report`. Throws as Trainings::json_of(); a plan that is not possible becomes a
/// note.
void measure_estimates(const Trainings& trainings, const RunConfig& config,
                       const EstimatedCores& cores, double seconds, EstimatesReport& report);

std::string to_json(const EstimatesReport& report);
std::string to_table(const EstimatesReport& report);

}  // namespace millrace::cli
