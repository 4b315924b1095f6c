#include "controller/metrics.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

using nlohmann::json;
constexpr const char* kTag = "metrics";

/// Bytes of the leading lines that are whole and belong to steps up to `step`, and the accuracies
/// in them.
std::size_t kept_bytes(const std::string& content, std::int64_t step,
                       std::map<std::int64_t, double>& accuracies) {
  std::size_t begin = 0;
  for (std::size_t end; (end = content.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const json line =
        json::parse(content.begin() + static_cast<std::ptrdiff_t>(begin),
                    content.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    const std::int64_t at = line.is_object() ? line.value("step", std::int64_t{0}) : step + 1;
    if (at > step) break;
    if (line.value("kind", "") == "evaluation") accuracies[at] = line.value("accuracy", 0.0);
  }
  return begin;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& path, std::int64_t step) : path_(path) {
  const bool continues = step > 0 && std::filesystem::exists(path);
  if (continues) {
    const std::string content = read_file(path, kTag);
    write_file_atomically(path, content.substr(0, kept_bytes(content, step, accuracies_)), kTag);
  }
  errno = 0;
  stream_.open(path, continues ? std::ios::app : std::ios::trunc);
  if (!stream_) {
    throw ResourceError(
        kTag, fmt::format("cannot write {}: {}: choose a folder that can be written", path.string(),
                          std::strerror(errno)));
  }
}

void MetricsLog::add(const StepMetrics& metrics) {
  // A loss that is no number any more is written as null: JSON has no other word for it.
  add_line(json{{"kind", "step"},
                {"step", metrics.step},
                {"epoch", metrics.epoch},
                {"loss", metrics.loss},
                {"images_per_second", metrics.images_per_second},
                {"step_ns", metrics.step_ns},
                {"learning_rate", metrics.learning_rate},
                {"wall_ns", metrics.wall_ns},
                {"remaining",
                 {{"expected_ns", metrics.remaining.expected_ns},
                  {"latest_ns", metrics.remaining.latest_ns}}}}
               .dump());
}

void MetricsLog::add(std::int64_t step, std::int64_t epoch, const Evaluation& evaluation) {
  add_line(json{{"kind", "evaluation"},
                {"step", step},
                {"epoch", epoch},
                {"samples", evaluation.samples},
                {"loss", evaluation.loss},
                {"accuracy", evaluation.accuracy},
                {"wall_ns", evaluation.wall_ns}}
               .dump());
}

void MetricsLog::add(const PlanChange& change) {
  add_line(json{{"kind", "plan"},
                {"step", change.step},
                {"reason", change.reason},
                {"step_ns", change.step_ns > 0 ? json(change.step_ns) : json()},
                {"expected_step_ns", change.expected_step_ns}}
               .dump());
}

void MetricsLog::add(const FailedStep& failure) {
  add_line(json{{"kind", "failure"},
                {"step", failure.step},
                {"failed_step", failure.failed},
                {"reason", failure.reason}}
               .dump(-1, ' ', false, json::error_handler_t::replace));
}

void MetricsLog::add_line(const std::string& line) {
  errno = 0;
  stream_ << line << '\n' << std::flush;
  if (!stream_) {
    throw ResourceError(kTag, fmt::format("cannot write {}: {}: free some space or choose another "
                                          "folder",
                                          path_.string(), std::strerror(errno)));
  }
}

}  // namespace millrace
