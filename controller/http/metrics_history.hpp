#pragma once
// The course of a run so far, from its metrics.jsonl, thinned to what a page can draw.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace millrace {

/// Reads on from where it stopped, at most kReadBytes a call, so that a long file is never read in
/// one go, nor twice. Thread-safe.
class MetricsHistory {
 public:
  static constexpr std::size_t kPoints = 500;  ///< up to twice as many
  static constexpr std::size_t kReadBytes = 4 << 20;

  /// Of a file that may not be there yet.
  explicit MetricsHistory(std::filesystem::path file) : file_(std::move(file)) {}

  struct Answer {
    std::string json;
    bool complete = true;  ///< else: ask again for more
  };
  /// {"rate_unit": …, "complete": true, "points": {"step": […], "wall_ns": […], "loss": […],
  /// "images_per_second": […], "expected_ns": […], "latest_ns": […]}, "evaluations": {"step": […],
  /// "loss": […], "accuracy": […]}, "plans": {"step": […], "reason": […], "expected_step_ns":
  /// […]}}. A point: step and times at its end, loss and speed over it. A plan: another one, from
  /// the next step on.
  Answer answer(const std::string& rate_unit);

 private:
  /// Means over lines that follow each other.
  struct Point {
    std::int64_t lines = 0, step = 0;
    double wall_ns = 0, loss_sum = 0, samples = 0, step_ns = 0, expected_ns = 0, latest_ns = 0;
    void add(const Point& next);
  };
  struct Evaluated {
    std::int64_t step = 0;
    double loss = 0, accuracy = 0;
  };
  struct Planned {
    std::int64_t step = 0;
    std::string reason;
    double expected_step_ns = 0;
  };

  void read_on();
  void forget();
  void take_line(const std::string& line);
  void take_point(const Point& line);

  const std::filesystem::path file_;
  std::mutex mutex_;
  std::uintmax_t read_ = 0;     // bytes
  std::optional<ino_t> inode_;  // another one: the run went back to a checkpoint
  bool complete_ = true;
  std::int64_t lines_each_ = 1;
  std::vector<Point> points_;
  std::vector<Evaluated> evaluations_;
  std::vector<Planned> plans_;
};

}  // namespace millrace
