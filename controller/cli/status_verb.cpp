#include <fmt/format.h>

#include <memory>

#include "controller/checkpoint.hpp"
#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "controller/deadline.hpp"
#include "controller/progress.hpp"
#include "controller/run_folder.hpp"
#include "controller/run_status.hpp"
#include "millrace/topology.hpp"
#include "millrace/units.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

std::string headline(const RunStatus& status) {
  const std::string time = format_duration(static_cast<double>(status.progress.elapsed_ns));
  if (status.state == RunState::running)
    return fmt::format("{}: running for {}, process {}", status.model, time, status.process.number);
  return fmt::format("{}: {} after {}", status.model, to_string(status.state), time);
}

std::string stage_line(std::size_t number, const StageStatus& stage) {
  return fmt::format("stage {}: {} to {} on CPUs {}, {:.0f} % busy", number, stage.first_layer,
                     stage.last_layer, format_cpu_list(stage.cpus), stage.busy_percent);
}

std::string deadline_line(const TrainingProgress& now) {
  const double left_ns = static_cast<double>(*now.deadline_ns - now.elapsed_ns);
  const std::string when = left_ns > 0 ? "deadline in " + format_duration(left_ns)
                                       : "deadline passed " + format_duration(-left_ns) + " ago";
  return fmt::format("{}: {}", when, to_string(outlook_of(left_ns, now.remaining)));
}

std::string failed_steps_text(std::int64_t count) {
  return fmt::format("{} failed step{} trained again", count, count == 1 ? " was" : "s were");
}

std::string way_on(const RunStatus& status, const std::string& folder) {
  const bool ended_early = status.state == RunState::interrupted ||
                           status.state == RunState::terminated ||
                           status.state == RunState::failed || status.state == RunState::killed;
  if (!ended_early) return "";
  const auto steps = CheckpointFolder(RunFolder::checkpoints_in(folder)).steps();
  return fmt::format("\n`millrace resume {}` goes on {}", folder,
                     steps.empty() ? "from the start" : fmt::format("at step {}", steps.back()));
}

std::string status_text(const RunStatus& status, const std::string& folder) {
  if (status.state == RunState::preparing) return "preparing: the training has not begun";
  std::string text = headline(status) + "\n";
  text +=
      progress_line(status.progress, rate_unit(status.model), status.state != RunState::running);
  if (status.accuracy) text += fmt::format("  accuracy {:.2f} %", 100 * *status.accuracy);
  if (status.state == RunState::running && status.progress.deadline_ns)
    text += "\n" + deadline_line(status.progress);
  if (status.failed_steps > 0) text += "\n" + failed_steps_text(status.failed_steps);
  for (std::size_t s = 0; status.state == RunState::running && s < status.stages.size(); ++s)
    text += "\n" + stage_line(s, status.stages[s]);
  return text + way_on(status, folder);
}

}  // namespace

void add_status(CLI::App& program, Action& action) {
  const auto folder = std::make_shared<std::string>();
  Verb verb(program, action, "status", "says how far a training is and when it will be done");
  verb.app().add_option("folder", *folder, "folder of the run")->type_name("DIR")->required();
  verb.examples("  millrace status run\n  millrace status run --json | jq .remaining");
  verb.runs([folder](const SettingLayers&, const Presentation& presentation) {
    const RunStatus status = read_run_status(*folder);
    print(presentation.json ? to_json(status) : status_text(status, *folder));
    return 0;
  });
}

}  // namespace millrace::cli
