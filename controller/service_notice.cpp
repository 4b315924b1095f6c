#include "controller/service_notice.hpp"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include "millrace/units.hpp"

namespace millrace {
namespace {

std::string line_of(const RunStatus& status) {
  const TrainingProgress& at = status.progress;
  const std::string last = at.last_step ? fmt::format("/{}", *at.last_step) : "";
  if (status.state != RunState::running)
    return fmt::format("{} after step {}{}", to_string(status.state), at.step, last);
  return fmt::format("step {}{}, loss {:.4g}, left {} (latest {})", at.step, last, at.loss,
                     format_duration(at.remaining.expected_ns),
                     format_duration(at.remaining.latest_ns));
}

}  // namespace

void ServiceNotice::publish(const RunStatus& status) {
  const bool runs = status.state == RunState::running;
  std::string text = "STATUS=" + line_of(status) + "\nWATCHDOG=1";
  if (runs && !ready_) text += "\nREADY=1";
  if (!runs) text += "\nSTOPPING=1";
  ready_ = ready_ || runs;
  sd_notify(/*unset_environment=*/0, text.c_str());  // what it returns is the manager's affair
}

}  // namespace millrace
