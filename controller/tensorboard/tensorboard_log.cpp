#include "controller/tensorboard/tensorboard_log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

namespace millrace {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

/// Readers take files in the order of their names, and one process may begin several in a second.
std::filesystem::path new_file(const std::filesystem::path& folder, double seconds) {
  std::filesystem::path path;
  std::error_code unknown;  // what opens it says what is wrong
  int number = 0;
  do {
    path = folder / fmt::format("events.out.tfevents.{:010.0f}.{}.{}.{}", seconds, host_name(),
                                ::getpid(), number++);
  } while (std::filesystem::exists(path, unknown));
  return path;
}

}  // namespace

double TensorboardLog::system_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

TensorboardLog::TensorboardLog(const std::filesystem::path& folder, std::int64_t step,
                               WallClock clock)
    : clock_(std::move(clock)), file_(new_file(folder, clock_())) {
  file_.add(version_event(clock_()));
  file_.add(start_event(clock_(), step + 1));
}

void TensorboardLog::add(const StepMetrics& metrics) {
  file_.add(scalars_event(clock_(), metrics.step,
                          {{"loss/train", metrics.loss},
                           {"images_per_second", metrics.images_per_second},
                           {"learning_rate", metrics.learning_rate}}));
}

void TensorboardLog::add(std::int64_t step, const Evaluation& evaluation) {
  file_.add(scalars_event(
      clock_(), step,
      {{"loss/validation", evaluation.loss}, {"accuracy/validation", evaluation.accuracy}}));
}

}  // namespace millrace
