// profile and plan: what comes before a training.

#include <fmt/format.h>

#include <utility>

#include "controller/cli/output.hpp"
#include "controller/cli/planning.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/cli/torch/training_data.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "framework/planning.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"
#include "models/data/text.hpp"
#include "models/source.hpp"

namespace millrace::cli {
namespace {

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

/// As many as the data have. A file that reads text knows its characters, unless they are to be
/// those of the data.
std::int64_t costed_classes(const RunConfig& config) {
  if (!is_model_file(config.model) || !source_reads_text(config.model)) return classes_of(config);
  return config.new_head && !config.data.empty() ? std::ssize(characters_in(config.data)) : 0;
}

/// The weights do not matter.
Model costed_model(const RunConfig& config) {
  return open_model(config.model, costed_classes(config), 1, NewHead::where_needed);
}

/// Here, or where `board` is named what that says of the board.
MeasuredProfile measure_for(const std::string& board, const Model& model, const RunConfig& config,
                            bool reuse) {
  if (board.empty()) return measure(model, config, reuse);
  board_cores(board, config);  // a board or cores that are not there, before anything is measured
  RunConfig here = config;
  here.cores = "all";
  return on_board(measure(model, here, reuse), board, config);
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

}  // namespace millrace::cli
