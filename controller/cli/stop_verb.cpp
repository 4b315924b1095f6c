#include <fmt/format.h>
#include <signal.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "controller/run_status.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace::cli {
namespace {

constexpr const char* kTag = "stop";
constexpr auto kPoll = std::chrono::milliseconds(50);

void ask_to_stop(pid_t process) {
  if (::kill(process, SIGTERM) == 0 || errno == ESRCH) return;
  throw ResourceError(kTag, fmt::format("cannot stop process {}: {}: run this as the user whose "
                                        "training it is",
                                        process, std::strerror(errno)));
}

/// Asks the run to stop, where it runs, and waits until it has.
RunStatus stopped(const std::string& folder) {
  RunStatus status = read_run_status(folder);
  if (status.state == RunState::preparing) {
    throw ConfigError(kTag,
                      fmt::format("the training in {} has not begun, so that it has nothing "
                                  "new to keep: end it where it was started, or try again when "
                                  "`millrace status {}` says that it runs",
                                  folder, folder));
  }
  if (status.state != RunState::running) return status;
  ask_to_stop(status.process.number);
  log_info(kTag,
           fmt::format("process {} ends after its step, with a checkpoint", status.process.number));
  while (identity_of(status.process.number) == status.process) std::this_thread::sleep_for(kPoll);
  return read_run_status(folder);
}

std::string stop_text(const RunStatus& status, const std::string& folder) {
  std::string text =
      fmt::format("{} after {} steps", to_string(status.state), status.progress.step);
  if (status.state != RunState::finished)
    text += fmt::format("\n`millrace resume {}` goes on", folder);
  return text;
}

}  // namespace

void add_stop(CLI::App& program, Action& action) {
  const auto folder = std::make_shared<std::string>();
  Verb verb(program, action, "stop", "ends a training after its step, with a checkpoint");
  verb.app().add_option("folder", *folder, "folder of the run")->type_name("DIR")->required();
  verb.examples("  millrace stop run && millrace resume run      later");
  verb.runs([folder](const SettingLayers&, const Presentation& presentation) {
    const RunStatus status = stopped(*folder);
    print(presentation.json ? to_json(status) : stop_text(status, *folder));
    return 0;
  });
}

}  // namespace millrace::cli
