#include "controller/run_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "controller/deadline.hpp"
#include "controller/run_folder.hpp"
#include "framework/base/file.hpp"
#include "framework/base/json_reader.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

using nlohmann::ordered_json;
constexpr const char* kTag = "status";
constexpr const char* kFormat = "millrace-status";
constexpr int kVersion = 1;
constexpr std::int64_t kInterval_ns = 500'000'000;

template <typename Value>
ordered_json or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::optional<double> optional_number(JsonReader& reader, const std::string& key) {
  if (reader.any(key).is_null()) return std::nullopt;
  return reader.number(key);
}

RunState state_from(JsonReader& reader) {
  const std::string name = reader.text("state");
  const auto found = std::find_if(std::begin(kRunStates), std::end(kRunStates),
                                  [&](RunState state) { return to_string(state) == name; });
  if (found == std::end(kRunStates)) reader.fail("state", fmt::format("is \"{}\"", name));
  return *found;
}

TrainingProgress progress_from(JsonReader& reader) {
  TrainingProgress progress;
  progress.step = reader.integer("step");
  if (reader.any("last_step").is_number()) progress.last_step = reader.integer("last_step");
  progress.fraction = reader.number("fraction");
  progress.epoch = reader.integer("epoch");
  progress.loss = reader.number("loss");
  progress.images_per_second = reader.number("images_per_second");
  progress.elapsed_ns = reader.integer("elapsed_ns");
  if (reader.has("deadline_ns") && reader.any("deadline_ns").is_number())
    progress.deadline_ns = reader.integer("deadline_ns");
  JsonReader remaining = reader.child("remaining");
  progress.remaining = {remaining.number("expected_ns"), remaining.number("latest_ns")};
  return progress;
}

StageStatus stage_from(JsonReader reader) {
  StageStatus stage{reader.text("first_layer"), reader.text("last_layer"), {}, 0};
  for (const std::int64_t cpu : reader.integers("cpus"))
    stage.cpus.push_back(static_cast<int>(cpu));
  stage.busy_percent = reader.number("busy_percent");
  return stage;
}

std::optional<std::string> deadline_outlook(const TrainingProgress& now) {
  if (!now.deadline_ns) return std::nullopt;
  return to_string(
      outlook_of(static_cast<double>(*now.deadline_ns - now.elapsed_ns), now.remaining));
}

bool runs(const ProcessIdentity& process) { return identity_of(process.number) == process; }

/// Absent where there is none, or one that is broken: it is not flushed to the disk.
std::optional<RunStatus> last_status(const std::filesystem::path& folder) {
  const std::filesystem::path file = RunFolder::status_in(folder);
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    return run_status_from_json(read_file(file, kTag), file.string());
  } catch (const ConfigError&) {
    return std::nullopt;
  }
}

std::string no_status(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / "config.toml"))
    return fmt::format("the run in {} left no status: `millrace resume {}` goes on with it",
                       folder.string(), folder.string());
  return fmt::format("{} holds no run: name the --out folder of a training", folder.string());
}

}  // namespace

const char* to_string(RunState state) {
  switch (state) {
    case RunState::preparing:
      return "preparing";
    case RunState::running:
      return "running";
    case RunState::finished:
      return "finished";
    case RunState::interrupted:
      return "interrupted";
    case RunState::terminated:
      return "terminated";
    case RunState::failed:
      return "failed";
    case RunState::killed:
      return "killed";
  }
  return "";
}

std::optional<ProcessIdentity> identity_of(pid_t process) {
  std::ifstream stream(fmt::format("/proc/{}/stat", process));
  std::string line;
  if (process <= 0 || !std::getline(stream, line)) return std::nullopt;
  // The second field, the name in brackets, may hold anything; the times follow 20 fields on.
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string state, skipped;
  fields >> state;
  if (state == "Z" || state == "X") return std::nullopt;  // ended, and not waited for yet
  for (int field = 4; field < 22; ++field) fields >> skipped;
  ProcessIdentity identity{process, 0};
  if (!(fields >> identity.started_ticks)) return std::nullopt;
  return identity;
}

std::vector<StageStatus> stage_status(const Plan& plan, const StepReport& report) {
  std::vector<StageStatus> stages;
  for (const PlanStage& stage : plan.stages) {
    StageStatus status{stage.layers.front(), stage.layers.back(), {}, 0};
    for (const PlannedDevice& device : stage.devices) status.cpus.push_back(device.cpu);
    stages.push_back(std::move(status));
  }
  if (report.wall_ns() <= 0) return stages;
  for (const TaskSpan& task : report.tasks) {
    const auto stage = static_cast<std::size_t>(task.action.stage);
    stages[stage].busy_percent += 100 * static_cast<double>(task.busy_ns()) /
                                  static_cast<double>(report.wall_ns()) /
                                  plan.stages[stage].workers();
  }
  return stages;
}

std::string to_json(const RunStatus& status) {
  const TrainingProgress& now = status.progress;
  ordered_json stages = ordered_json::array();
  for (const StageStatus& stage : status.stages) {
    stages.push_back({{"first_layer", stage.first_layer},
                      {"last_layer", stage.last_layer},
                      {"cpus", stage.cpus},
                      {"busy_percent", stage.busy_percent}});
  }
  const ordered_json document = {
      {"format", kFormat},
      {"version", kVersion},
      {"state", to_string(status.state)},
      {"process", status.process.number},
      {"process_started_ticks", status.process.started_ticks},
      {"model", status.model},
      {"step", now.step},
      {"last_step", or_null(now.last_step)},
      {"fraction", now.fraction},
      {"epoch", now.epoch},
      {"loss", now.loss},
      {"accuracy", or_null(status.accuracy)},
      {"images_per_second", now.images_per_second},
      {"elapsed_ns", now.elapsed_ns},
      {"remaining",
       {{"expected_ns", now.remaining.expected_ns}, {"latest_ns", now.remaining.latest_ns}}},
      {"deadline_ns", or_null(now.deadline_ns)},
      {"deadline_outlook", or_null(deadline_outlook(now))},
      {"failed_steps", status.failed_steps},
      {"stages", stages}};
  return document.dump(2) + "\n";
}

RunStatus run_status_from_json(const std::string& text, const std::string& origin) {
  const nlohmann::json document = JsonReader::parse(text, kTag, origin);
  JsonReader reader(document, kTag, origin, "");
  check_format(reader, kFormat, kVersion);
  RunStatus status;
  status.state = state_from(reader);
  status.process = {static_cast<pid_t>(reader.integer("process")),
                    reader.integer("process_started_ticks")};
  status.model = reader.text("model");
  status.progress = progress_from(reader);
  status.accuracy = optional_number(reader, "accuracy");
  if (reader.has("failed_steps")) status.failed_steps = reader.integer("failed_steps");
  for (std::size_t i = 0; i < reader.array("stages").size(); ++i)
    status.stages.push_back(stage_from(reader.element("stages", i)));
  return status;
}

RunStatus read_run_status(const std::filesystem::path& folder) {
  std::optional<RunStatus> said = last_status(folder);
  if (said && runs(said->process)) return *said;
  if (RunFolder::is_taken(folder)) {
    RunStatus status;
    status.state = RunState::preparing;
    return status;
  }
  if (!said) throw ConfigError(kTag, no_status(folder));
  if (said->state == RunState::running) said->state = RunState::killed;
  return *said;
}

StatusFile::StatusFile(std::filesystem::path path) : path_(std::move(path)) {}

bool StatusFile::is_due(std::int64_t now_ns) const {
  return !written_ns_ || now_ns - *written_ns_ >= kInterval_ns;
}

void StatusFile::write(const RunStatus& status, std::int64_t now_ns) {
  written_ns_ = now_ns;
  const std::string text = to_json(status);
  try {
    replace_file(path_, text, kTag);
  } catch (const Error& error) {
    if (status.state != RunState::running && overwrite_file(path_, text)) return;
    if (!warned_)
      log_warning(kTag, fmt::format("the training goes on without its status: {}", error.what()));
    warned_ = true;
  }
}

}  // namespace millrace
