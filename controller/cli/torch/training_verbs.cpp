// train and resume.

#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "controller/cli/output.hpp"
#include "controller/cli/planning.hpp"
#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/cli/torch/rehearsing.hpp"
#include "controller/cli/torch/trained_model.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "controller/cli/torch/what_if.hpp"
#include "controller/core_claims.hpp"
#include "controller/deadline.hpp"
#include "controller/http/watch_server.hpp"
#include "controller/progress.hpp"
#include "controller/service_notice.hpp"
#include "controller/taken_plans.hpp"
#include "controller/tensorboard/tensorboard_log.hpp"
#include "controller/training_run.hpp"
#include "framework/base/file.hpp"
#include "framework/planning.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"
#include "models/onnx/kept_files.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// With paths that `resume` finds from another folder, and the cores that were asked for.
RunConfig lasting(RunConfig config, const TrainingData& data, const std::string& cores) {
  config.cores = cores;
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
  return json_text(
      {{"outcome", name_of(result.outcome)},
       {"folder", folder.string()},
       {"steps", result.steps},
       {"images_per_second", result.images_per_second},
       {"loss", or_null(result.loss)},
       {"accuracy", or_null(accuracy_of(result))},
       {"plan_changes", result.plan_changes},
       {"failed_steps", result.failed_steps},
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
       {"skipped_images", result.skipped_images},
       {"reached_deadline", result.reached_deadline},
       {"reached_limit", result.reached_limit.empty() ? Json(nullptr) : Json(result.reached_limit)},
       {"energy_joules", result.energy_joules > 0 ? Json(result.energy_joules) : Json(nullptr)}});
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
  if (result.plan_changes > 0) {
    text += fmt::format("\nthe plan was changed {} time{} as the machine changed",
                        result.plan_changes, result.plan_changes == 1 ? "" : "s");
  }
  if (result.failed_steps > 0) {
    text += fmt::format("\n{} failed step{} trained again", result.failed_steps,
                        result.failed_steps == 1 ? " was" : "s were");
  }
  if (result.energy_joules > 0)
    text += fmt::format("\nthe run has used {}", format_energy(result.energy_joules));
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
  } else if (!result.reached_limit.empty()) {
    text += fmt::format("\nended, as {}; `millrace resume {}` goes on with another limit",
                        result.reached_limit, folder.string());
  } else if (result.reached_deadline) {
    text += fmt::format("\nended for its deadline; `millrace resume {} --deadline TIME` goes on",
                        folder.string());
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
  settings.replans = config.replan;
  settings.limits = {config.energy_joules, config.max_celsius};
  settings.memory = [] { return read_memory_state(); };
  settings.learning_rate = step.optimizer.learning_rate;
  settings.learning_rate_schedule = step.learning_rate;
  return settings;
}

/// Whether the plan is the run's own, not one that was asked for.
bool is_own_plan(const RunConfig& config, const RunFolder& folder) {
  const fs::path file = config.plan_file;
  return file == folder.plan() || file.parent_path() == folder.plans();
}

/// The CPUs of the plan that is given and, of a run that goes on, of all that it took.
std::vector<int> cpus_of_plans(const RunConfig& config, const RunFolder& folder) {
  std::set<int> cpus;
  const auto add = [&](const fs::path& file) {
    const Plan plan = plan_from_json(read_file(file, "plan"), file.string());
    for (const int cpu : parse_cpu_list(cores_of(plan))) cpus.insert(cpu);
  };
  add(config.plan_file);
  if (is_own_plan(config, folder)) {
    add(folder.plan());
    const TakenPlans taken(folder.plans());
    for (const std::int64_t step : taken.steps()) add(taken.files_of(step).plan);
  }
  return {cpus.begin(), cpus.end()};
}

std::vector<int> without(std::vector<int> cpus, const std::map<int, CoreHolder>& holders) {
  std::erase_if(cpus, [&](int cpu) { return holders.contains(cpu); });
  return cpus;
}

/// --cores without those that other trainings have; who names CPUs by number may share them. Throws
/// ResourceError where none, or not those of a given plan, are left.
std::string free_cores(CoreClaims& claims, const RunConfig& config, const RunFolder& folder) {
  const std::vector<int> wanted =
      select_cores(discover_topology({.list_gpus = false}), config.cores).cpus();
  const auto holders = claims.take(wanted);
  if (holders.empty()) return config.cores;
  const std::string who = describe(holders);
  const bool by_number = config.cores != "all" && config.cores != "big" && config.cores != "little";
  if (by_number) {
    log_warning("cores", fmt::format("shared with another training, which slows both: {}", who));
    return config.cores;
  }
  const std::vector<int> left = without(wanted, holders);
  const std::vector<int> needed =
      config.plan_file.empty() ? std::vector<int>() : cpus_of_plans(config, folder);
  if (left.empty() || without(needed, holders) != needed)
    throw ResourceError(
        "cores",
        fmt::format("in use are {}: wait for its end, stop it by `millrace stop DIR`, or {}", who,
                    left.empty() ? "share cores by naming them, --cores " + format_cpu_list(wanted)
                                 : "take others, --cores " + format_cpu_list(left)));
  log_warning("cores",
              fmt::format("in use are {}: this training takes {}", who, format_cpu_list(left)));
  return format_cpu_list(left);
}

/// Where a run that goes on does: step and time of its newest checkpoint.
struct Progress {
  std::int64_t step = 0, trained_ns = 0;
};

/// The settings with the plan that is to be tried, or that a deadline needs. A deadline alone, and
/// one beside --time, needs all the cores there are.
TrainSettings planned(const Model& model, TrainSettings settings, const RunConfig& config,
                      const TrainingData& data, const RunFolder& folder, std::int64_t step) {
  if (!config.deadline || (!config.epochs && !config.steps))
    return refined(model, std::move(settings), config);
  if (settings.given_plan) {
    settings.cores = format_cpu_list(cpus_of_plans(config, folder));
    return settings;
  }
  RunQuestion run{config, std::move(settings), {}};
  run.measured = chosen_profile(model, run.settings);
  run.measured.profile.loader_ns_per_sample = ns_per_sample(*data.train, config.seed);
  run.training_samples = data.train->size();
  run.validation_samples = data.validation ? data.validation->size() : 0;
  run.write_ns_per_byte = folder.write_ns_per_byte();
  run.trained_steps = step;
  return settings_in_time(
      run, static_cast<double>(time_still_left_ns(*config.deadline, std::time(nullptr))));
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

std::int64_t newest_step(const RunFolder& folder) {
  const auto steps = CheckpointFolder(folder.checkpoints()).steps();
  return steps.empty() ? 0 : steps.back();
}

/// What is left of the run that `session` trains in `folder`.
RunQuestion question_of(const ModelSession& session, const TrainSettings& settings,
                        const RunConfig& config, const RunFolder& folder) {
  RunQuestion run{config, settings, {}};
  run.training_samples = session.training_samples();
  run.validation_samples = session.validation_samples();
  run.write_ns_per_byte = folder.write_ns_per_byte();
  return run;
}

/// What train and resume share, once the configuration and the plan's file are settled.
/// `before`: absent for a new run.
int train_in(const RunFolder& folder, RunConfig config, const std::optional<Progress>& before,
             const Presentation& presentation) {
  const bool resume = before.has_value();
  const std::string asked = config.cores;
  RunLimits::require_sensors({config.energy_joules, config.max_celsius});
  CoreClaims claims(folder.path(), default_lock_folder());
  config.cores = free_cores(claims, config, folder);
  const auto watch = watch_server(folder, config);  // before anything is measured
  TrainingData data = open_training_data(config);
  const auto files = model_files(config, resume);
  const Model model = prepare_model(config, static_cast<std::int64_t>(data.classes.size()));
  TrainSettings asked_of_step = train_settings(config, run_steps(config, data.train->size()));
  if (resume) asked_of_step.measured_cores = asked;
  asked_of_step.profile.watch_changes = !config.replan || config.deadline;
  const TrainSettings step =
      planned(model, std::move(asked_of_step), config, data, folder, resume ? before->step : 0);
  TrainingSettings settings = training_settings(config, data, step);
  settings.resume = resume;
  if (config.tensorboard)
    settings.metrics_sink = [&](std::int64_t from) {
      return std::make_unique<TensorboardLog>(folder.tensorboard(), from);
    };
  ServiceNotice service;
  settings.on_status = [&](const RunStatus& status, const StepReport& last) {
    service.publish(status);
    if (watch) watch->publish(status, last);
  };
  ModelSession session(model, step, data, config);
  if (step.cores != config.cores) claims.keep(parse_cpu_list(step.cores));
  log_debug("plan", explain(session.plan(), session.profile()));
  const auto keep_model = [&](const fs::path& to) {
    if (files) files->write((to / kept_name(config.model)).string());
  };
  RunQuestion left = question_of(session, step, config, folder);
  if (resume) left.trained_steps = newest_step(folder);
  settings.rehearsal = kept_rehearsal(session, left);
  settings.doubted = session.costs_are_doubted();
  if (!resume)
    folder.begin(to_toml(lasting(config, data, asked)), to_json(session.plan()),
                 to_json(session.profile()), keep_model);
  if (config.deadline)
    settings.end.deadline_ns = (resume ? before->trained_ns : 0) +
                               time_still_left_ns(*config.deadline, std::time(nullptr));
  ProgressDisplay display(ProgressDisplay::standard_error(), rate_unit(config.model));
  const TrainingResult result = run_training(session, folder, settings, display);
  if (result.shown) keep_shown(session, config, *result.shown);
  print(presentation.json ? json_of(result, folder.path())
                          : text_of(result, config.model, folder.path()));
  const bool too_late = result.reached_deadline && result.steps_here == 0;
  return static_cast<int>(too_late ? ExitCode::no_plan : ExitCode::done);
}

/// The plan in force at `step`, and those taken later, are the run's; another plan that was asked
/// for ends that.
void settle_taken_plans(const RunFolder& folder, std::int64_t step, RunConfig& config) {
  const TakenPlans taken(folder.plans());
  if (!is_own_plan(config, folder)) return taken.remove_after(step);
  const auto files = taken.in_force(step);
  if (!files) return;
  config.plan_file = files->plan.string();
  config.costs_file = files->costs.string();
}

/// A plan of the run's own, or its costs, may have been damaged or removed.
void search_anew_where_broken(const RunFolder& folder, std::int64_t step, RunConfig& config) {
  if (!is_own_plan(config, folder)) return;
  try {
    plan_from_json(read_file(config.plan_file, "plan"), config.plan_file);
    profile_from_json(read_file(config.costs_file, "costs"), config.costs_file);
  } catch (const ConfigError& broken) {
    log_warning("plan", fmt::format("another plan is searched, the result is the same to round-off "
                                    "only: {}",
                                    broken.what()));
    config.plan_file.clear();
    config.costs_file.clear();
    TakenPlans(folder.plans()).remove_after(step);
  }
}

}  // namespace

int run_train(const TrainCommand& command, const Presentation& presentation) {
  RunConfig config = command.config;
  config.replan = config.replan && config.plan_file.empty();  // who names a plan means it
  return train_in(RunFolder::create(command.out, command.force), config, std::nullopt,
                  presentation);
}

int run_resume(const ResumeCommand& command, const Presentation& presentation) {
  const RunFolder folder = RunFolder::open(command.folder);
  RunConfig config = config_of_run(command.folder, command.layers);
  if (!config.deadline && !config.epochs && !config.steps && !config.time_ns)
    throw ConfigError("usage",
                      "without its deadline the run has no end: give another one, "
                      "--epochs N, --steps N, --time 10m or --deadline TIME");
  check_deadline(config);
  const CheckpointFolder checkpoints(fs::path(command.folder) / "checkpoints");
  // A checkpoint is read to its end to know that it is whole: only where what it says matters.
  const bool matters =
      !config.weights.empty() || !TakenPlans(folder.plans()).steps().empty() || config.deadline;
  const auto last = matters ? checkpoints.open_last() : std::nullopt;
  // The run goes on from its own; where none is whole it starts again from the file's.
  if (last) config.weights.clear();
  const Progress before = last ? Progress{last->info.step, last->info.trained_ns} : Progress{};
  settle_taken_plans(folder, before.step, config);
  search_anew_where_broken(folder, before.step, config);
  config.replan = config.replan && (config.plan_file.empty() || is_own_plan(config, folder));
  return train_in(folder, config, before, presentation);
}

}  // namespace millrace::cli
