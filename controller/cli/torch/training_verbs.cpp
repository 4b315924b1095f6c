// train and resume.

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "controller/cli/output.hpp"
#include "controller/cli/planning.hpp"
#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/cli/torch/trained_model.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "controller/http/watch_server.hpp"
#include "controller/progress.hpp"
#include "controller/training_run.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"
#include "models/onnx/kept_files.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Paths that `resume` finds from another folder.
RunConfig lasting(RunConfig config, const TrainingData& data) {
  config.model = kept_name(config.model);
  config.data = fs::absolute(data.folder).string();
  if (!config.weights.empty()) config.weights = fs::absolute(config.weights).string();
  config.plan_file.clear();  // it is in plan.json, its costs in costs.json
  config.costs_file.clear();
  return config;
}

/// The model's own files, where it comes from them and the run is to keep them.
std::optional<OnnxFiles> model_files(const RunConfig& config, bool resume) {
  if (resume || !is_model_file(config.model)) return std::nullopt;
  return OnnxFiles(config.model);
}

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

const char* name_of(TrainingOutcome outcome) {
  switch (outcome) {
    case TrainingOutcome::interrupted:
      return "interrupted";
    case TrainingOutcome::terminated:
      return "terminated";
    default:
      return "finished";
  }
}

std::optional<double> accuracy_of(const TrainingResult& result) {
  return result.evaluation ? std::optional(result.evaluation->accuracy) : std::nullopt;
}

std::string json_of(const TrainingResult& result, const fs::path& folder) {
  return json_text({{"outcome", name_of(result.outcome)},
                    {"folder", folder.string()},
                    {"steps", result.steps},
                    {"images_per_second", result.images_per_second},
                    {"loss", or_null(result.loss)},
                    {"accuracy", or_null(accuracy_of(result))},
                    {"estimate",
                     {{"first_expected_ns", result.first_expected_ns},
                      {"first_latest_ns", result.first_latest_ns},
                      {"measured_ns", result.measured_ns},
                      {"error_percent", or_null(result.error_percent)}}},
                    {"loader",
                     {{"waits", result.loader.waits},
                      {"wait_ns", result.loader.wait_ns},
                      {"disk_waits", result.loader.disk_waits},
                      {"disk_wait_ns", result.loader.disk_wait_ns}}},
                    {"skipped_images", result.skipped_images}});
}

std::string text_of(const TrainingResult& result, const std::string& model,
                    const fs::path& folder) {
  std::string text = fmt::format("{} after {} steps", name_of(result.outcome), result.steps);
  if (result.images_per_second > 0)
    text += fmt::format(": {:.1f} {}", result.images_per_second, rate_unit(model));
  if (result.loss) text += fmt::format(", loss {:.4f}", *result.loss);
  if (const auto accuracy = accuracy_of(result)) {
    text += fmt::format(", accuracy {:.1f} %", 100 * *accuracy);
  }
  if (result.skipped_images > 0) {
    text += fmt::format("\n{} broken images were left out", result.skipped_images);
  }
  if (result.error_percent) {
    text += fmt::format("\nestimated {} (latest {}), measured {}: {:.1f} % off",
                        format_duration(result.first_expected_ns),
                        format_duration(result.first_latest_ns),
                        format_duration(result.measured_ns), *result.error_percent);
  }
  if (result.outcome != TrainingOutcome::finished) {
    text += fmt::format("\n`millrace resume {}` goes on", folder.string());
  }
  return text;
}

TrainingSettings training_settings(const RunConfig& config, const TrainingData& data,
                                   const TrainSettings& step) {
  TrainingSettings settings;
  settings.end = end_of(config);
  settings.facts = facts_of(config, data);
  settings.checkpoint_every_steps = config.checkpoint_every_steps;
  settings.checkpoint_keep = config.checkpoint_keep;
  settings.evaluate_every_epochs = config.evaluate_every_epochs;
  settings.patience = config.patience;
  settings.learning_rate = step.optimizer.learning_rate;
  settings.learning_rate_schedule = step.learning_rate;
  return settings;
}

/// Null where nobody asked for one.
std::unique_ptr<WatchServer> watch_server(const RunFolder& folder, const RunConfig& config) {
  if (!config.http_port) return nullptr;
  auto server = std::make_unique<WatchServer>(
      WatchServer::Settings{static_cast<int>(*config.http_port), kept_name(config.model),
                            rate_unit(config.model), folder.metrics()});
  log_info("http", "watch it on " + server->address());
  return server;
}

/// What train and resume share, once the configuration and the plan's file are settled.
int train_in(const RunFolder& folder, const RunConfig& config, bool resume,
             const Presentation& presentation) {
  const auto watch = watch_server(folder, config);  // before anything is measured
  TrainingData data = open_training_data(config);
  const auto files = model_files(config, resume);
  const Model model = prepare_model(config, static_cast<std::int64_t>(data.classes.size()));
  const TrainSettings step =
      refined(model, train_settings(config, run_steps(config, data.train->size())), config);
  TrainingSettings settings = training_settings(config, data, step);
  settings.resume = resume;
  if (watch)
    settings.on_status = [&](const RunStatus& status, const StepReport& last) {
      watch->publish(status, last);
    };
  ModelSession session(model, step, data, config);
  log_debug("plan", explain(session.plan(), session.profile()));
  const auto keep_model = [&](const fs::path& to) {
    if (files) files->write((to / kept_name(config.model)).string());
  };
  if (!resume)
    folder.begin(to_toml(lasting(config, data)), to_json(session.plan()),
                 to_json(session.profile()), keep_model);
  ProgressDisplay display(ProgressDisplay::standard_error(), rate_unit(config.model));
  const TrainingResult result = run_training(session, folder, settings, display);
  print(presentation.json ? json_of(result, folder.path())
                          : text_of(result, config.model, folder.path()));
  return 0;
}

}  // namespace

int run_train(const TrainCommand& command, const Presentation& presentation) {
  return train_in(RunFolder::create(command.out, command.force), command.config, false,
                  presentation);
}

int run_resume(const ResumeCommand& command, const Presentation& presentation) {
  const RunFolder folder = RunFolder::open(command.folder);
  RunConfig config = config_of_run(command.folder, command.layers);
  const CheckpointFolder checkpoints(fs::path(command.folder) / "checkpoints");
  // The run goes on from its own; where none is whole it starts again from the file's.
  if (!config.weights.empty() && checkpoints.open_last()) config.weights.clear();
  return train_in(folder, config, true, presentation);
}

}  // namespace millrace::cli
