#pragma once
// What a run says of itself while it goes on: status.json in its folder, for `status` and `stop`.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "controller/training_observer.hpp"
#include "millrace/plan.hpp"
#include "millrace/step_report.hpp"

namespace millrace {

enum class RunState {
  preparing,  ///< the folder is taken, the training has not begun
  running,
  finished,
  interrupted,  ///< by INT, with a checkpoint
  terminated,   ///< by TERM, with a checkpoint
  failed,       ///< by an error, which the run printed
  killed        ///< without a word
};
inline constexpr RunState kRunStates[] = {
    RunState::preparing,  RunState::running, RunState::finished, RunState::interrupted,
    RunState::terminated, RunState::failed,  RunState::killed};
const char* to_string(RunState state);

/// A process of this machine, told from a later one of the same number.
struct ProcessIdentity {
  pid_t number = 0;
  std::int64_t started_ticks = 0;  ///< since the machine was started (proc(5), stat)
  bool operator==(const ProcessIdentity&) const = default;
};
/// Empty where there is none.
std::optional<ProcessIdentity> identity_of(pid_t process);

struct StageStatus {
  std::string first_layer, last_layer;
  std::vector<int> cpus;
  double busy_percent = 0;  ///< of the last step, mean over its workers
  bool operator==(const StageStatus&) const = default;
};

struct RunStatus {
  RunState state = RunState::running;
  ProcessIdentity process;
  std::string model;
  TrainingProgress progress;       ///< loss and speed: 0 before this process has trained a step
  std::optional<double> accuracy;  ///< of the last evaluation
  std::vector<StageStatus> stages;
  std::int64_t failed_steps = 0;  ///< that this process trained again
};

/// `report`: of the last step.
std::vector<StageStatus> stage_status(const Plan& plan, const StepReport& report);

std::string to_json(const RunStatus& status);
/// Throws ConfigError (tag "status") naming `origin`.
RunStatus run_status_from_json(const std::string& text, const std::string& origin);

/// What is known of the run in `folder`, whether it runs or not. Throws ConfigError: no such folder
/// (tag "out"), no run in it, or none that has said what it does (tag "status").
RunStatus read_run_status(const std::filesystem::path& folder);

/// Writes status.json, at most twice a second but for changes of the state, and never flushes it to
/// the disk. A file that cannot be written is warned of once and does not end the run; how a run
/// ends is then written over what it said last.
/// Not thread-safe.
class StatusFile {
 public:
  explicit StatusFile(std::filesystem::path path);

  /// Whether it is time for another.
  bool is_due(std::int64_t now_ns) const;
  void write(const RunStatus& status, std::int64_t now_ns);

 private:
  std::filesystem::path path_;
  std::optional<std::int64_t> written_ns_;
  bool warned_ = false;
};

}  // namespace millrace
