#pragma once
// The output folder of one training: config.toml, plan.json, costs.json, plans/, metrics.jsonl,
// status.json, trace.json, tensorboard/, checkpoints/.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace millrace {

/// Held by one process at a time (a lock on the folder, gone with the process). Movable.
class RunFolder {
 public:
  /// For a new run: `path` is made, must be empty, or holds an earlier run and `force` is set
  /// (which stays untouched until begin()). Throws ConfigError (tag "out"): not empty, no folder,
  /// in use; ResourceError (tag "out"): cannot be made or written to. Call it before anything is
  /// measured.
  static RunFolder create(const std::filesystem::path& path, bool force);

  /// Of an earlier run, to continue it. Throws ConfigError (tag "out") where there is none.
  static RunFolder open(const std::filesystem::path& path);

  /// Whether a process holds `path`. Throws ConfigError (tag "out") where there is no such folder.
  static bool is_taken(const std::filesystem::path& path);

  /// Removes what an earlier run left and writes the files that `resume` needs; `write_others`
  /// writes more of them into the folder. config.toml comes last: a folder that has it is complete.
  void begin(const std::string& config_toml, const std::string& plan_json,
             const std::string& costs_json,
             const std::function<void(const std::filesystem::path&)>& write_others = {}) const;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path plan() const { return path_ / "plan.json"; }
  std::filesystem::path costs() const { return path_ / "costs.json"; }
  /// Of the plans that followed the first one.
  std::filesystem::path plans() const { return path_ / "plans"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path status() const { return status_in(path_); }
  /// Of a run that another process may hold.
  static std::filesystem::path status_in(const std::filesystem::path& path) {
    return path / "status.json";
  }
  std::filesystem::path trace() const { return path_ / "trace.json"; }
  std::filesystem::path tensorboard() const { return path_ / "tensorboard"; }
  std::filesystem::path checkpoints() const { return checkpoints_in(path_); }
  static std::filesystem::path checkpoints_in(const std::filesystem::path& path) {
    return path / "checkpoints";
  }

  /// Throws ResourceError (tag "out") where fewer than `bytes` are free.
  void require_free(std::int64_t bytes) const;
  /// Measured by writing and flushing a few megabytes when the folder was opened.
  double write_ns_per_byte() const { return write_ns_per_byte_; }
  /// The same of another folder. Throws ResourceError (tag "out") where it cannot be written to.
  static double write_ns_per_byte_in(const std::filesystem::path& folder);

 private:
  explicit RunFolder(std::filesystem::path path);

  std::filesystem::path path_;
  std::shared_ptr<const int> lock_;
  double write_ns_per_byte_ = 0;
};

}  // namespace millrace
