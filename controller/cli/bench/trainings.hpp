#pragma once
// How benchmarks of whole trainings start them: this program, as a user would.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "controller/cli/bench/process.hpp"
#include "controller/cli/run_config.hpp"

namespace millrace::cli {

class Trainings {
 public:
  /// `folder` is for runs, logs and the configuration. Throws ResourceError.
  Trainings(const RunConfig& config, std::filesystem::path folder);

  std::filesystem::path run(const std::string& name) const { return folder_ / name; }

  /// `millrace train` into run(name), with the configuration and then `more`.
  ProcessSpec train(const std::string& name, const std::vector<std::string>& more) const;
  ProcessSpec estimate(const std::vector<std::string>& more) const;
  ProcessSpec resume(const std::string& name) const;

  /// Runs it to its end and returns what --json printed. Throws as run_process(), once the log has
  /// been shown.
  nlohmann::ordered_json json_of(const ProcessSpec& spec) const;
  /// The same of one that was started with `spec`.
  nlohmann::ordered_json json_of(Process& started, const ProcessSpec& spec) const;

 private:
  ProcessSpec program(std::vector<std::string> arguments,
                      const std::vector<std::string>& more) const;

  std::filesystem::path folder_;
};

}  // namespace millrace::cli
