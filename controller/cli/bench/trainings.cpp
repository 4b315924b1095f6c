#include "controller/cli/bench/trainings.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "controller/cli/config_layers.hpp"
#include "controller/cli/install_paths.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace::cli {

Trainings::Trainings(const RunConfig& config, std::filesystem::path folder)
    : folder_(std::move(folder)) {
  write_file_atomically(folder_ / "config.toml", to_toml(config), "bench");
}

ProcessSpec Trainings::train(const std::string& name, const std::vector<std::string>& more) const {
  return program({"train", "--config", folder_ / "config.toml", "--out", run(name)}, more);
}

ProcessSpec Trainings::estimate(const std::vector<std::string>& more) const {
  return program({"estimate", "--config", folder_ / "config.toml"}, more);
}

ProcessSpec Trainings::resume(const std::string& name) const {
  return program({"resume", run(name)}, {});
}

ProcessSpec Trainings::program(std::vector<std::string> arguments,
                               const std::vector<std::string>& more) const {
  arguments.insert(arguments.begin(), this_program().string());
  arguments.insert(arguments.end(), more.begin(), more.end());
  arguments.push_back("--json");
  return {std::move(arguments), {}, {}, folder_ / "log"};
}

nlohmann::ordered_json Trainings::json_of(const ProcessSpec& spec) const {
  std::error_code ignored;
  std::filesystem::remove(spec.errors, ignored);
  Process started(spec);
  return json_of(started, spec);
}

nlohmann::ordered_json Trainings::json_of(Process& started, const ProcessSpec& spec) const {
  try {
    return nlohmann::ordered_json::parse(started.finish().output);
  } catch (const Error&) {
    log_warning("bench", "the training said:\n" + read_file(spec.errors, "bench"));
    throw;
  }
}

}  // namespace millrace::cli
