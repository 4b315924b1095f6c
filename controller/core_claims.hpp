#pragma once
// Which training uses which cores of this machine, so that two of them do not fight.

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace millrace {

/// Who has a core.
struct CoreHolder {
  pid_t process = 0;
  std::string run;  ///< its folder
  bool operator==(const CoreHolder&) const = default;
};

/// The cores that this process has taken: one locked file each, in the folder for locks
/// (default_lock_folder()), which the system frees with the process, however that ends. Advice: who
/// does not ask is not kept from a core. Movable; not thread-safe.
class CoreClaims {
 public:
  /// For the training in `run`.
  CoreClaims(std::filesystem::path run, std::filesystem::path locks);

  /// Takes those of `cpus` that nobody has and returns who has the others. A folder that cannot be
  /// used counts as one in which nobody has anything.
  std::map<int, CoreHolder> take(const std::vector<int>& cpus);
  /// Gives back those that are not in `cpus`.
  void keep(const std::vector<int>& cpus);

 private:
  std::filesystem::path run_, locks_;
  std::map<int, std::shared_ptr<const int>> held_;  // open files by CPU
};

/// $MILLRACE_LOCKS, else /run/lock, else the system's folder for temporary files: one for all
/// users.
std::filesystem::path default_lock_folder();

/// "CPUs 0-1 by the training in RUN (process 123), CPU 3 by …"
std::string describe(const std::map<int, CoreHolder>& holders);

}  // namespace millrace
