#include "controller/run_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTag = "out";
constexpr const char* kProbe = ".millrace-write-probe.";
constexpr std::size_t kProbeBytes = 4 << 20;

/// Everything that a run writes, so that --force removes nothing else.
constexpr const char* kFiles[] = {"config.toml", "plan.json",     "costs.json",
                                  "plans",       "metrics.jsonl", "status.json",
                                  "trace.json",  "checkpoints",   "tensorboard"};

void make_folder(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_directory(path, error)) {
    throw ConfigError(
        kTag, fmt::format("{} is a file, a folder is needed: name another --out", path.string()));
  }
  fs::create_directories(path, error);
  if (error) {
    throw ResourceError(kTag, fmt::format("cannot make {}: {}: choose a folder that can be written",
                                          path.string(), error.message()));
  }
}

std::shared_ptr<const int> open_folder(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    throw ConfigError(kTag, fmt::format("cannot open {}: {}: check the name and the permissions",
                                        path.string(), std::strerror(errno)));
  }
  return {new int(descriptor), [](const int* open) {
            ::close(*open);
            delete open;
          }};
}

/// is_taken() of another process holds the lock for a moment.
bool take(int descriptor) {
  for (int i = 0; i < 10; ++i) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
    ::usleep(10'000);
  }
  return false;
}

/// flock on the folder itself: no file is left behind, and the system drops it with the process.
std::shared_ptr<const int> lock_folder(const fs::path& path) {
  std::shared_ptr<const int> lock = open_folder(path);
  if (!take(*lock)) {
    throw ConfigError(kTag, fmt::format("{} is in use by a training that runs: stop it first, or "
                                        "name another folder",
                                        path.string()));
  }
  return lock;
}

void remove_old(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return;
  throw ResourceError(kTag, fmt::format("cannot remove {} of the earlier run: {}: check the "
                                        "permissions or name another --out",
                                        path.string(), error.message()));
}

/// But for the probe of a process that was killed.
bool holds_nothing(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  return std::all_of(fs::begin(entries), fs::end(entries), [](const auto& entry) {
    return entry.path().filename().string().starts_with(kProbe);
  });
}

/// What a process that was killed was about to write. Once the lock is held: nobody writes now.
void remove_unfinished(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".tmp") || name.starts_with(kProbe)) fs::remove(entry.path(), error);
  }
}

}  // namespace

RunFolder::RunFolder(fs::path path) : path_(std::move(path)), lock_(lock_folder(path_)) {
  remove_unfinished(path_);
  remove_unfinished(plans());
  write_ns_per_byte_ = write_ns_per_byte_in(path_);
}

double RunFolder::write_ns_per_byte_in(const fs::path& folder) {
  using Clock = std::chrono::steady_clock;
  const fs::path probe = folder / fmt::format("{}{}", kProbe, ::getpid());
  const auto begin = Clock::now();
  write_file_atomically(probe, std::string(kProbeBytes, 'p'), kTag);
  const auto taken = std::chrono::duration<double, std::nano>(Clock::now() - begin);
  std::error_code error;
  fs::remove(probe, error);
  return taken.count() / kProbeBytes;
}

RunFolder RunFolder::create(const fs::path& path, bool force) {
  make_folder(path);
  if (!force && !holds_nothing(path)) {
    throw ConfigError(kTag, fmt::format("{} is not empty: name another --out, continue it by "
                                        "`millrace resume {}`, or write over it by --force",
                                        path.string(), path.string()));
  }
  return RunFolder(path);
}

RunFolder RunFolder::open(const fs::path& path) {
  if (!fs::is_regular_file(path / "config.toml")) {
    throw ConfigError(kTag,
                      fmt::format("{} holds no run (no config.toml): name the --out folder of "
                                  "a training",
                                  path.string()));
  }
  return RunFolder(path);
}

bool RunFolder::is_taken(const fs::path& path) {
  const std::shared_ptr<const int> folder = open_folder(path);
  return ::flock(*folder, LOCK_SH | LOCK_NB) != 0;  // dropped when it is closed
}

void RunFolder::begin(const std::string& config_toml, const std::string& plan_json,
                      const std::string& costs_json,
                      const std::function<void(const fs::path&)>& write_others) const {
  for (const char* name : kFiles) remove_old(path_ / name);
  if (write_others) write_others(path_);
  write_file_atomically(costs(), costs_json, kTag);
  write_file_atomically(plan(), plan_json, kTag);
  write_file_atomically(config(), config_toml, kTag);
}

void RunFolder::require_free(std::int64_t bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(path_, error);
  if (error || space.available >= static_cast<std::uintmax_t>(bytes)) return;
  throw ResourceError(
      kTag, fmt::format("{} has {} free, {} are needed for checkpoints: free some "
                        "space or choose another folder",
                        path_.string(), format_bytes(static_cast<double>(space.available)),
                        format_bytes(static_cast<double>(bytes))));
}

}  // namespace millrace
