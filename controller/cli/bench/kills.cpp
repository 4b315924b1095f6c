#include "controller/cli/bench/kills.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "controller/checkpoint.hpp"
#include "controller/cli/output.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr int kPoll_ms = 2;

std::vector<char> bytes_of(const SafetensorsFile& file, const SafetensorsFile::Entry& entry) {
  std::vector<char> bytes(static_cast<std::size_t>(entry.bytes));
  file.read(entry, bytes.data());
  return bytes;
}

std::vector<std::string> flags_of(const KillsReport& report) {
  return {"--steps",  std::to_string(report.steps),
          "--replan", "never",
          "--set",    fmt::format("checkpoint.every_steps={}", report.checkpoint_every_steps),
          "--force"};
}

/// Returns when the run's folder can be resumed, or the training has ended.
void wait_for_run(Process& training, const fs::path& run) {
  while (!fs::exists(run / "config.toml") && !training.ends_within(kPoll_ms)) {
  }
}

/// From then to the end of a training that is not killed.
int milliseconds_of(const Trainings& trainings, const ProcessSpec& spec) {
  Process training(spec);
  wait_for_run(training, trainings.run("killed"));
  const auto begin = Clock::now();
  trainings.json_of(training, spec);
  return static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
}

void kill_and_resume(const Trainings& trainings, const ProcessSpec& spec, int milliseconds,
                     KillsReport& report) {
  ++report.tried;
  {
    Process training(spec);
    wait_for_run(training, trainings.run("killed"));
    if (training.ends_within(milliseconds)) ++report.after_the_end;
    training.kill();
    training.finish();
  }
  try {
    trainings.json_of(trainings.resume("killed"));
  } catch (const Error&) {
    return;  // it has said why
  }
  ++report.resumed;
  if (same_state(trainings.run("killed"), trainings.run("whole"))) ++report.identical;
}

}  // namespace

bool same_state(const fs::path& run, const fs::path& other) {
  const Checkpoint a = CheckpointFolder(run / "checkpoints").open("last");
  const Checkpoint b = CheckpointFolder(other / "checkpoints").open("last");
  const auto same = [&](const SafetensorsFile::Entry& x, const SafetensorsFile::Entry& y) {
    return x.name == y.name && bytes_of(a.file, x) == bytes_of(b.file, y);
  };
  return a.info.step == b.info.step &&
         std::equal(a.file.entries().begin(), a.file.entries().end(), b.file.entries().begin(),
                    b.file.entries().end(), same);
}

KillsReport measure_kills(const Trainings& trainings, const RunConfig& config, std::int64_t steps,
                          int kills) {
  KillsReport report{config.model, steps, std::max<std::int64_t>(1, steps / 20)};
  trainings.json_of(trainings.train("whole", flags_of(report)));
  std::vector<std::string> flags = flags_of(report);
  for (const auto& [flag, file] : {std::pair("--plan", "plan.json"), {"--costs", "costs.json"}}) {
    flags.emplace_back(flag);
    flags.push_back(trainings.run("whole") / file);
  }
  const ProcessSpec spec = trainings.train("killed", flags);
  std::mt19937_64 random(config.seed);
  std::uniform_int_distribution<int> moment(0, milliseconds_of(trainings, spec));
  for (int i = 0; i < kills; ++i) {
    std::error_code ignored;
    fs::remove_all(trainings.run("killed"), ignored);
    kill_and_resume(trainings, spec, moment(random), report);
    log_info("bench", fmt::format("killed {} of {}: {} resumed, {} identical", i + 1, kills,
                                  report.resumed, report.identical));
  }
  return report;
}

std::string to_json(const KillsReport& report) {
  return json_text({{"model", report.model},
                    {"steps", report.steps},
                    {"checkpoint_every_steps", report.checkpoint_every_steps},
                    {"tried", report.tried},
                    {"after_the_end", report.after_the_end},
                    {"resumed", report.resumed},
                    {"identical", report.identical}});
}

std::string to_table(const KillsReport& report) {
  return fmt::format(
      "{}, {} steps, a checkpoint every {}: killed at random moments, resumed, and compared with a "
      "run that never was\n\n"
      "{:>6} {:>15} {:>8} {:>10}\n{:>6} {:>15} {:>8} {:>10}\n",
      report.model, report.steps, report.checkpoint_every_steps, "killed", "after its end",
      "resumed", "identical", report.tried, report.after_the_end, report.resumed, report.identical);
}

}  // namespace millrace::cli
