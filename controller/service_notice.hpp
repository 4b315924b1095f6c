#pragma once
// Tells the service manager that started this process (systemd, Type=notify) how the run is.

#include "controller/run_status.hpp"

namespace millrace {

/// Says nothing where no manager listens ($NOTIFY_SOCKET). Not thread-safe.
class ServiceNotice {
 public:
  /// Each call is a sign of life for the manager's watchdog; the first one of a run that goes on
  /// says that the service is up, one of a run that has ended that it is stopping.
  void publish(const RunStatus& status);

 private:
  bool ready_ = false;
};

}  // namespace millrace
