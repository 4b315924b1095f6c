#pragma once
// A run's metrics as TensorBoard shows them.

#include <cstdint>
#include <filesystem>
#include <functional>

#include "controller/metrics.hpp"
#include "controller/tensorboard/event_file.hpp"

namespace millrace {

/// loss/train, images_per_second and learning_rate of steps, loss/validation and
/// accuracy/validation of evaluations, over the number of steps trained. Not thread-safe.
class TensorboardLog : public MetricsSink {
 public:
  /// Seconds since 1970.
  using WallClock = std::function<double()>;

  /// A new file in `folder`, for what comes behind `step`; what earlier ones have of later steps is
  /// forgotten by readers. Throws ResourceError (tag "tensorboard"), as add() does.
  TensorboardLog(const std::filesystem::path& folder, std::int64_t step,
                 WallClock clock = system_seconds);

  void add(const StepMetrics& metrics) override;
  void add(std::int64_t step, const Evaluation& evaluation) override;

 private:
  static double system_seconds();

  WallClock clock_;
  EventFile file_;
};

}  // namespace millrace
