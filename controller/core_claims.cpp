#include "controller/core_claims.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "millrace/topology.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// An existing file is opened without O_CREAT, which the system may refuse for another user's file
/// in a folder that all may write to (fs.protected_regular). Empty where neither works.
std::optional<std::shared_ptr<const int>> open_lock(const fs::path& file) {
  int descriptor = ::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) {
    descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) return std::nullopt;
    static_cast<void>(::fchmod(descriptor, 0666));  // whatever the umask: others lock it, too
  }
  return std::shared_ptr<const int>(new int(descriptor), [](const int* open) {
    ::close(*open);
    delete open;
  });
}

CoreHolder read_holder(const fs::path& file) {
  CoreHolder holder;
  std::ifstream stream(file);
  stream >> holder.process >> std::ws;
  std::getline(stream, holder.run);
  return holder;
}

/// It may be about to write who it is.
std::string text_of(const CoreHolder& holder) {
  if (holder.process == 0) return "another process";
  return fmt::format("the training in {} (process {})", holder.run, holder.process);
}

/// Never into what is no plain file of its own: others may write into the folder, too.
bool write_holder(int descriptor, const fs::path& run) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1)
    return false;
  const std::string text = fmt::format("{}\n{}\n", ::getpid(), run.string());
  return ::ftruncate(descriptor, 0) == 0 &&
         ::pwrite(descriptor, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

}  // namespace

CoreClaims::CoreClaims(fs::path run, fs::path locks)
    : run_(fs::absolute(run)), locks_(std::move(locks)) {}

std::map<int, CoreHolder> CoreClaims::take(const std::vector<int>& cpus) {
  std::map<int, CoreHolder> holders;
  for (const int cpu : cpus) {
    const fs::path file = locks_ / fmt::format("millrace-cpu{}.lock", cpu);
    const auto lock = open_lock(file);
    if (!lock) continue;
    if (::flock(**lock, LOCK_EX | LOCK_NB) != 0) {
      holders[cpu] = read_holder(file);
    } else if (write_holder(**lock, run_)) {
      held_[cpu] = *lock;
    }
  }
  return holders;
}

void CoreClaims::keep(const std::vector<int>& cpus) {
  std::erase_if(held_, [&](const auto& entry) {
    return std::find(cpus.begin(), cpus.end(), entry.first) == cpus.end();
  });
}

fs::path default_lock_folder() {
  if (const char* named = std::getenv("MILLRACE_LOCKS")) return named;
  const fs::path usual = "/run/lock";
  return ::access(usual.c_str(), W_OK) == 0 ? usual : fs::temp_directory_path();
}

std::string describe(const std::map<int, CoreHolder>& holders) {
  std::vector<std::pair<CoreHolder, std::vector<int>>> by_holder;
  for (const auto& [cpu, holder] : holders) {
    const auto known = std::find_if(by_holder.begin(), by_holder.end(),
                                    [&](const auto& entry) { return entry.first == holder; });
    if (known != by_holder.end())
      known->second.push_back(cpu);
    else
      by_holder.push_back({holder, {cpu}});
  }
  std::string text;
  for (const auto& [holder, cpus] : by_holder)
    text += fmt::format("{}CPU{} {} by {}", text.empty() ? "" : ", ", cpus.size() == 1 ? "" : "s",
                        format_cpu_list(cpus), text_of(holder));
  return text;
}

}  // namespace millrace
