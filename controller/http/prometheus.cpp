#include "controller/http/prometheus.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace millrace {
namespace {

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

std::string label_text(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return text;
}

double seconds(double ns) { return ns / 1e9; }
double seconds(std::int64_t ns) { return static_cast<double>(ns) / 1e9; }

class Exposition {
 public:
  void begin(const std::string& name, const char* type, const char* help) {
    name_ = "millrace_" + name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
  }
  /// `labels`: "a=\"1\",b=\"2\"" or "".
  void sample(double value, const std::string& labels = "") {
    text_ += name_ + (labels.empty() ? "" : "{" + labels + "}") + " " + number_text(value) + "\n";
  }
  void gauge(const std::string& name, const char* help, double value) {
    begin(name, "gauge", help);
    sample(value);
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string name_, text_;
};

void write_states(Exposition& out, RunState now) {
  out.begin("run_state", "gauge", "1 for the state that the run is in, 0 for the others.");
  for (const RunState state : kRunStates)
    out.sample(state == now ? 1 : 0, fmt::format("state=\"{}\"", to_string(state)));
}

void write_progress(Exposition& out, const TrainingProgress& now) {
  out.begin("steps_total", "counter", "Steps trained, over the whole run.");
  out.sample(static_cast<double>(now.step));
  if (now.last_step)
    out.gauge("last_step", "Steps after which the run ends.", static_cast<double>(*now.last_step));
  out.gauge("progress_ratio", "Share of the run that is done, 0 to 1.", now.fraction);
  out.gauge("epoch", "Pass over the data, counted from 0.", static_cast<double>(now.epoch));
  out.gauge("loss", "Training loss, mean over the last steps.", now.loss);
  out.gauge("images_per_second", "Samples trained in a second, mean over the last steps.",
            now.images_per_second);
  out.gauge("elapsed_seconds", "Time of the run, over all its processes.", seconds(now.elapsed_ns));
  out.gauge("remaining_expected_seconds", "Time that the rest of the run is expected to take.",
            seconds(now.remaining.expected_ns));
  out.gauge("remaining_latest_seconds",
            "Time that the rest of the run exceeds with 1 % probability at most.",
            seconds(now.remaining.latest_ns));
}

void write_stages(Exposition& out, const std::vector<StageStatus>& stages) {
  if (stages.empty()) return;
  out.begin("stage_busy_ratio", "gauge",
            "Share of the last step that the stage's workers computed, 0 to 1.");
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageStatus& stage = stages[s];
    out.sample(stage.busy_percent / 100,
               fmt::format("stage=\"{}\",first_layer=\"{}\",last_layer=\"{}\",cpus=\"{}\"", s,
                           label_text(stage.first_layer), label_text(stage.last_layer),
                           fmt::join(stage.cpus, ",")));
  }
}

}  // namespace

std::string to_prometheus(const RunStatus& status, const StepReport& last) {
  Exposition out;
  out.begin("run_info", "gauge", "1, with the model that is trained.");
  out.sample(1, fmt::format("model=\"{}\"", label_text(status.model)));
  write_states(out, status.state);
  if (status.state == RunState::preparing) return std::move(out).text();
  write_progress(out, status.progress);
  if (status.accuracy)
    out.gauge("accuracy_ratio", "Share of right answers in the last evaluation, 0 to 1.",
              *status.accuracy);
  if (last.wall_ns() > 0)
    out.gauge("step_seconds", "Time of the last step that was looked at.", seconds(last.wall_ns()));
  out.begin("failed_steps_total", "counter", "Steps that failed and were trained again.");
  out.sample(static_cast<double>(status.failed_steps));
  write_stages(out, status.stages);
  return std::move(out).text();
}

}  // namespace millrace
