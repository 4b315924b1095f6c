#include "controller/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kTerminalInterval_ns = 100'000'000;
constexpr std::int64_t kLogInterval_ns = 10'000'000'000;
constexpr int kUsualColumns = 80;
constexpr int kShortestBar = 10, kLongestBar = 30;

std::string step_text(const TrainingProgress& progress) {
  return progress.last_step ? fmt::format("step {}/{}", progress.step, *progress.last_step)
                            : fmt::format("step {}", progress.step);
}

std::string speed_text(const TrainingProgress& progress, const std::string& unit) {
  return fmt::format("{:.{}f} {}", progress.images_per_second,
                     progress.images_per_second < 10 ? 2 : 0, unit);
}

std::string loss_text(const TrainingProgress& progress) {
  return fmt::format("loss {:.3f}", progress.loss);
}

std::string left_text(const TrainingProgress& progress) {
  return "left " + format_duration(progress.remaining.expected_ns);
}

std::string latest_text(const TrainingProgress& progress) {
  return fmt::format("(latest {})", format_duration(progress.remaining.latest_ns));
}

std::string joined(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, "  "));
}

std::string bar_text(double fraction, int inner) {
  const int filled =
      static_cast<int>(std::floor(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(inner)));
  std::string bar(static_cast<std::size_t>(inner), ' ');
  std::fill_n(bar.begin(), filled, '=');
  if (filled < inner) bar[static_cast<std::size_t>(filled)] = '>';
  return fmt::format("[{}]", bar);
}

}  // namespace

std::string progress_line(const TrainingProgress& progress, const std::string& unit, bool ended) {
  std::vector<std::string> parts = {step_text(progress),
                                    fmt::format("epoch {}", progress.epoch + 1),
                                    speed_text(progress, unit), loss_text(progress)};
  if (!ended) parts.insert(parts.end(), {left_text(progress), latest_text(progress)});
  return joined(parts);
}

std::string progress_bar(const TrainingProgress& progress, int width, const std::string& unit) {
  const std::string percent = fmt::format("{:3.0f} %", std::floor(100 * progress.fraction));
  std::vector<std::string> parts = {percent, speed_text(progress, unit), loss_text(progress),
                                    left_text(progress), step_text(progress)};
  // In order of what is missed least: the last part goes first.
  const auto columns = static_cast<std::size_t>(std::max(width, 1));
  while (parts.size() > 1 && joined(parts).size() > columns) parts.pop_back();
  if (parts.size() == 5) std::rotate(parts.begin() + 1, parts.end() - 1, parts.end());
  std::string line = joined(parts);
  const std::string latest = " " + latest_text(progress);
  const auto room = [&](std::size_t wanted) { return line.size() + wanted <= columns; };
  const std::size_t bar_frame = 4;  // brackets and two spaces
  if (parts.size() == 5 && room(latest.size() + kShortestBar + bar_frame)) line += latest;
  if (room(kShortestBar + bar_frame)) {
    const auto inner = std::min<std::size_t>(kLongestBar, columns - line.size() - bar_frame);
    line = bar_text(progress.fraction, static_cast<int>(inner)) + "  " + line;
  }
  return line.substr(0, columns);
}

ProgressDisplay::Output ProgressDisplay::standard_error() {
  const auto columns = [] {
    winsize size{};
    const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? static_cast<int>(size.ws_col) : kUsualColumns;
  };
  const auto draw = [](const std::string& text) {
    // A terminal that went away must not end the training.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  };
  return {stderr_is_terminal() && verbosity() != Verbosity::quiet, columns, draw,
          [](const std::string& line) { log_info("train", line); }};
}

ProgressDisplay::ProgressDisplay(Output output, std::string unit)
    : output_(std::move(output)), unit_(std::move(unit)) {}

ProgressDisplay::~ProgressDisplay() { wipe(); }

void ProgressDisplay::started(const TrainingProgress& at, const Estimate& first) {
  if (at.step > 0) print(fmt::format("goes on at step {}", at.step));
  if (first.run.expected_ns <= 0) return print("nothing is left to train");
  print(fmt::format("expected {}, latest {} ({} %)", format_duration(first.run.expected_ns),
                    format_duration(first.run.latest_ns), 100 * first.confidence));
  shown_ns_ = at.elapsed_ns;
}

void ProgressDisplay::stepped(const TrainingProgress& progress) {
  const std::int64_t interval = output_.terminal ? kTerminalInterval_ns : kLogInterval_ns;
  if (progress.elapsed_ns - shown_ns_ < interval) return;
  shown_ns_ = progress.elapsed_ns;
  if (!output_.terminal) return print(progress_line(progress, unit_));
  // One column stays free: some terminals break the line when the last one is written.
  output_.draw(fmt::format("\r{}\x1b[K", progress_bar(progress, output_.columns() - 1, unit_)));
  drawn_ = true;
}

void ProgressDisplay::evaluated(const TrainingProgress& progress, const Evaluation& evaluation) {
  print(fmt::format("epoch {}: accuracy {:.2f} %, loss {:.4f} on {} samples (step {})",
                    progress.epoch + 1, 100 * evaluation.accuracy, evaluation.loss,
                    evaluation.samples, progress.step));
}

void ProgressDisplay::saved(const TrainingProgress&, const std::filesystem::path& file) {
  wipe();
  log_debug("train", "saved " + file.string());
}

void ProgressDisplay::print(const std::string& line) {
  wipe();
  output_.print(line);
}

void ProgressDisplay::wipe() {
  if (drawn_) output_.draw("\r\x1b[K");
  drawn_ = false;
}

}  // namespace millrace
