// estimate: how long a run takes, here or elsewhere, with the cores there are or with fewer.

#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "controller/cli/option_table.hpp"
#include "controller/cli/output.hpp"
#include "controller/cli/planning.hpp"
#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/cli/torch/rehearsing.hpp"
#include "controller/cli/torch/training_data.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "controller/cli/torch/what_if.hpp"
#include "controller/deadline.hpp"
#include "controller/run_folder.hpp"
#include "framework/base/file.hpp"
#include "framework/planning.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

/// Of a disk that cannot be asked.
constexpr double kAssumedWriteNsPerByte = 1;

/// Of the folder that this is called in: a run measures its own.
double write_ns_per_byte() {
  try {
    return RunFolder::write_ns_per_byte_in(".");
  } catch (const ResourceError&) {
    return kAssumedWriteNsPerByte;
  }
}

nlohmann::ordered_json to_json(const TimeEstimate& estimate) {
  return {{"expected_ns", estimate.expected_ns}, {"latest_ns", estimate.latest_ns}};
}

std::string present(const Estimate& estimate, const RunQuestion& run, bool json) {
  if (json) {
    return json_text({{"step", to_json(estimate.step)},
                      {"run", to_json(estimate.run)},
                      {"confidence", estimate.confidence},
                      {"images_per_second", estimate.images_per_second},
                      {"tried", run.rehearsal.has_value()}});
  }
  return fmt::format(
      "a step takes {} (latest {}), {:.1f} {}\nthe run takes {} (latest {}, with "
      "{:g} % confidence)",
      format_duration(estimate.step.expected_ns), format_duration(estimate.step.latest_ns),
      estimate.images_per_second, rate_unit(run.config.model),
      format_duration(estimate.run.expected_ns), format_duration(estimate.run.latest_ns),
      100 * estimate.confidence);
}

int core_count(const Topology& machine) {
  std::size_t cores = 0;
  for (const CoreKind& kind : machine.kinds) cores += device_cpus(machine, kind).size();
  return static_cast<int>(cores);
}

/// A cost file says how many cores there are, and nothing of their numbers.
Topology numbered_cores(const Profile& costs) {
  Topology machine;
  for (const DeviceKind& device : costs.kinds) {
    CoreKind kind;
    kind.name = device.name;
    for (int i = 0; i < device.count; ++i) {
      kind.cpus.push_back(static_cast<int>(machine.cores.size()));
      machine.cores.push_back({kind.cpus.back()});
    }
    machine.kinds.push_back(std::move(kind));
  }
  machine.limits.allowed_cpus = machine.cpus();
  return machine;
}

Profile costs_of_file(const std::string& file, const RunConfig& config) {
  const Profile costs = select_kinds(profile_from_json(read_file(file, "costs"), file), config);
  if (costs.model != model_title(config.model)) {
    throw ConfigError("costs", fmt::format("{} has the costs of {}, this is {}: make some with "
                                           "`millrace profile {} -o FILE`",
                                           file, costs.model, config.model, config.model));
  }
  require_allowed(costs, file, config);
  return costs;
}

void require_cores(const EstimateCommand& command, int there) {
  if (command.core_counts.empty() || command.core_counts.back() <= there) return;
  const std::string where = !command.costs.empty()   ? command.costs
                            : !command.board.empty() ? command.board
                                                     : "this machine";
  const std::string& cores = command.config.cores;
  throw ConfigError(
      "usage",
      fmt::format("--core-counts asks for {} cores, {} has {}{}: ask for no more than that",
                  command.core_counts.back(), where, there,
                  cores == "all" ? "" : " with --cores " + cores));
}

/// By a cost file: nothing is measured. The data's part is the caller's, as below.
RunQuestion question_by_costs(const EstimateCommand& command) {
  RunQuestion run{command.config, planning_settings(command.config), {}};
  run.measured.profile = costs_of_file(command.costs, command.config);
  run.measured.topology = numbered_cores(run.measured.profile);
  require_cores(command, core_count(run.measured.profile));
  return run;
}

/// Measured up to the largest of `batches`, ascending, whose data fit the memory: one that is too
/// large is an option that says so, and the others need no costs of it.
MeasuredProfile costs_for_batches(const Model& model, const RunQuestion& run,
                                  const std::vector<std::int64_t>& batches) {
  for (std::size_t i = batches.size(); --i > 0;) {
    try {
      return chosen_profile(model, settings_for(run, batches[i]));
    } catch (const NoPlanError&) {  // before anything was measured
    }
  }
  return chosen_profile(model, settings_for(run, batches.front()));
}

/// By what is measured here, for here or for a board.
RunQuestion question_by_measuring(const EstimateCommand& command, const TrainingData& data) {
  RunConfig here = command.config;
  Topology machine;
  if (command.board.empty()) {
    machine = select_cores(discover_topology({.list_gpus = false}), here.cores);
  } else {
    machine = board_cores(command.board, here);
    here.cores = "all";  // --cores is of the board
  }
  require_cores(command, core_count(machine));
  const Model model = prepare_model(here, static_cast<std::int64_t>(data.classes.size()));
  RunQuestion run{command.config, train_settings(here, run_steps(here, data.train->size())), {}};
  run.settings = refined(model, run.settings, here);
  run.measured = costs_for_batches(model, run, command.batches);
  if (!command.board.empty())
    run.measured = on_board(std::move(run.measured), command.board, command.config);
  return run;
}

void add_data(RunQuestion& run, const TrainingData& data) {
  run.training_samples = data.train->size();
  run.validation_samples = data.validation ? data.validation->size() : 0;
  run.write_ns_per_byte = write_ns_per_byte();
  auto& decoding = run.measured.profile.loader_ns_per_sample;
  if (!decoding) decoding = ns_per_sample(*data.train, run.config.seed);
}

std::vector<int> counts_of(const EstimateCommand& command, int there) {
  if (!command.core_counts.empty()) return command.core_counts;
  if (!command.config.deadline) return {there};
  std::vector<int> counts(static_cast<std::size_t>(there));
  std::iota(counts.begin(), counts.end(), 1);
  return counts;
}

OptionTable compared(const EstimateCommand& command, const RunQuestion& run) {
  OptionTable table{command.config.model, command.board, {}, {}};
  table.options =
      options_of(run, command.batches, counts_of(command, core_count(run.measured.profile)));
  require_some_plan(table.options);
  if (const auto& deadline = command.config.deadline) {
    const auto left_ns = static_cast<double>(time_still_left_ns(*deadline, std::time(nullptr)));
    table.deadline = choose_for_deadline(table.options, *deadline, left_ns);
  }
  return table;
}

std::string one_run(const RunQuestion& run, bool json) {
  const Plan plan = chosen_plan(run.measured, run.settings);
  return present(estimate_of(run, plan, run.measured.profile), run, json);
}

/// The run that `train` would begin here, by its plan, tried.
std::string run_here(const RunConfig& config, const TrainingData& data, bool json) {
  const Model model = prepare_model(config, static_cast<std::int64_t>(data.classes.size()));
  const TrainSettings settings =
      refined(model, train_settings(config, run_steps(config, data.train->size())), config);
  ModelSession session(model, settings, data, config);
  RunQuestion run{config, settings, {}};
  run.measured.profile = session.profile();
  add_data(run, data);
  run.rehearsal = rehearsed(session, run);
  return present(estimate_of(run, session.plan(), session.profile()), run, json);
}

}  // namespace

int run_estimate(const EstimateCommand& command, const Presentation& presentation) {
  std::optional<RunQuestion> by_costs;
  if (!command.costs.empty()) by_costs = question_by_costs(command);
  const TrainingData data = open_training_data(command.config);
  const bool measures_here =
      !by_costs && command.config.costs_file.empty() && command.board.empty();
  if (!command.compares() && measures_here) {
    print(run_here(command.config, data, presentation.json));
    return 0;
  }
  RunQuestion run = by_costs ? *std::move(by_costs) : question_by_measuring(command, data);
  add_data(run, data);
  if (!command.compares()) {
    print(one_run(run, presentation.json));
    return 0;
  }
  const OptionTable table = compared(command, run);
  print(presentation.json ? json_text(json_of(table)) : text_of(table));
  return 0;
}

}  // namespace millrace::cli
