// profile, plan, estimate: what comes before a training.

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "controller/cli/output.hpp"
#include "controller/cli/planning.hpp"
#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/cli/torch/training_data.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "controller/forecast.hpp"
#include "framework/planning.hpp"
#include "framework/profile/board_costs.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"
#include "models/source.hpp"

namespace millrace::cli {
namespace {

/// Of a disk nobody has asked: a run measures its own folder.
constexpr double kAssumedWriteNsPerByte = 1;

std::string costs_table(const Profile& profile) {
  std::string text = fmt::format("{:<16} {:<19} {:>10}", "layer", "type", "weights");
  for (const DeviceKind& kind : profile.kinds) {
    text += fmt::format("  {:>22}", kind.name + " fwd / bwd");
  }
  text += fmt::format("    ({} samples)\n", profile.samples.back());
  for (const LayerCosts& layer : profile.layers) {
    text += fmt::format("{:<16} {:<19} {:>10}", layer.name, layer.type,
                        format_bytes(layer.weights_bytes));
    for (const DeviceKind& kind : profile.kinds) {
      text +=
          fmt::format("  {:>10} / {:>9}", format_duration(layer.forward_ns.at(kind.name).back()),
                      format_duration(layer.backward_ns.at(kind.name).back()));
    }
    text += '\n';
  }
  if (profile.loader_ns_per_sample) {
    text += fmt::format("decoding a sample: {}\n", format_duration(*profile.loader_ns_per_sample));
  }
  return text;
}

/// With as many outputs as the data have classes; the weights do not matter.
Model costed_model(const RunConfig& config) {
  return open_model(config.model, classes_of(config), 1, NewHead::where_needed);
}

/// Here, or where `board` is named what that says of the board.
MeasuredProfile measure_for(const std::string& board, const Model& model, RunConfig config,
                            bool reuse) {
  if (board.empty()) return measure(model, config, reuse);
  const Topology there = select_cores(discover_topology({.board = board, .list_gpus = false}),
                                      std::exchange(config.cores, "all"));
  MeasuredProfile measured = measure(model, config, reuse);
  std::string speeds;
  for (const CoreKind& kind : there.kinds)
    speeds +=
        fmt::format("{}{} {:.2f}", speeds.empty() ? "" : ", ", kind.name, kind.relative_speed);
  log_warning(
      "board",
      fmt::format("the costs are this machine's, divided by the speed of each kind of {} ({}, "
                  "by clock and capacity): they rank plans; for times, run `millrace profile "
                  "{} -o costs.json` on the board and plan with --costs",
                  board, speeds, config.model));
  measured.profile = board_costs(measured.profile, there);
  measured.topology = there;
  return measured;
}

/// The plan and what it was made for.
std::pair<Plan, Profile> plan_here(const PlanCommand& command, const Model& model,
                                   PlanRequest request) {
  if (command.config.refine > 1) {
    TrainSettings settings = train_settings(command.config, 0);
    settings.reserved_bytes = 0;  // no data are decoded
    settings = refined(model, settings, command.config);
    return {*settings.given_plan, *settings.given_costs};
  }
  const MeasuredProfile measured = measure_for(command.board, model, command.config, true);
  if (!command.config.plan_file.empty() && command.board.empty()) {
    TrainSettings settings = train_settings(command.config, 0);
    settings.reserved_bytes = 0;
    return {chosen_plan(measured, settings), measured.profile};
  }
  request.cpus = cpus_by_kind(measured.topology);
  return {make_plan(measured.profile, command.config, request), measured.profile};
}

nlohmann::ordered_json to_json(const TimeEstimate& estimate) {
  return {{"expected_ns", estimate.expected_ns}, {"latest_ns", estimate.latest_ns}};
}

std::string present(const Estimate& estimate, const std::string& model, bool json) {
  if (json) {
    return json_text({{"step", to_json(estimate.step)},
                      {"run", to_json(estimate.run)},
                      {"confidence", estimate.confidence},
                      {"images_per_second", estimate.images_per_second}});
  }
  return fmt::format(
      "a step takes {} (latest {}), {:.1f} {}\nthe run takes {} (latest {}, with "
      "{:g} % confidence)",
      format_duration(estimate.step.expected_ns), format_duration(estimate.step.latest_ns),
      estimate.images_per_second, rate_unit(model), format_duration(estimate.run.expected_ns),
      format_duration(estimate.run.latest_ns), 100 * estimate.confidence);
}

}  // namespace

int run_profile(const ProfileCommand& command, const Presentation& presentation) {
  require_folder_of(command.output);
  const Model model = costed_model(command.config);
  MeasuredProfile measured = measure_for(command.board, model, command.config, !command.fresh);
  log_info("profile", measured.reused ? "kept costs, after a probe of each core: " + measured.file
                                      : "measured; kept in " + measured.file);
  if (!command.config.data.empty()) {
    measured.profile.loader_ns_per_sample =
        ns_per_sample(*open_training_data(command.config).train, command.config.seed);
  }
  const std::string json = to_json(measured.profile);
  if (!command.output.empty()) save(command.output, json);
  print(presentation.json ? json : costs_table(measured.profile));
  return 0;
}

int run_plan(const PlanCommand& command, const Presentation& presentation) {
  require_folder_of(command.output);
  const Model model = costed_model(command.config);
  const PlanRequest request = plan_request(command.config);
  if (command.config.plan_file.empty()) check_batching(model, request);
  const auto [plan, costs] = plan_here(command, model, request);
  if (!command.output.empty()) save(command.output, to_json(plan));
  print(present_plan(plan, costs, presentation.json, command.explain));
  return 0;
}

int run_estimate(const EstimateCommand& command, const Presentation& presentation) {
  const RunConfig& config = command.config;
  TrainingData data = open_training_data(config);
  const Model model = prepare_model(config, static_cast<std::int64_t>(data.classes.size()));
  const auto settings =
      refined(model, train_settings(config, run_steps(config, data.train->size())), config);
  ModelSession session(model, settings, std::move(data), config);
  std::int64_t bytes = 0;
  for (const SessionTensor& tensor : session.state()) bytes += tensor.view.bytes;
  const Calendar calendar({end_of(config), session.steps_per_epoch(), config.evaluate_every_epochs,
                           config.checkpoint_every_steps});
  const Forecast forecast(session, calendar, {static_cast<double>(bytes) * kAssumedWriteNsPerByte},
                          0, 0);
  print(present(forecast.first(), config.model, presentation.json));
  return 0;
}

}  // namespace millrace::cli
