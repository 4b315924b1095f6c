#pragma once
// The live line of a training: a bar on a terminal, a line now and then in a log.

#include <functional>
#include <string>

#include "controller/training_observer.hpp"

namespace millrace {

/// "[=====>      ]  42 %  step 420/1000  118 img/s  loss 1.234  left 1 m 20 s (latest 1 m 31 s)",
/// fitted to `width` columns: first the latest time, then the bar, then other parts are left out.
/// `unit`: of the speed.
std::string progress_bar(const TrainingProgress& progress, int width,
                         const std::string& unit = "img/s");

/// The same without a bar, whole: for logs. `ended`: no time is left.
std::string progress_line(const TrainingProgress& progress, const std::string& unit = "img/s",
                          bool ended = false);

/// Draws on standard error; silent under Verbosity::quiet. Not thread-safe.
class ProgressDisplay : public TrainingObserver {
 public:
  /// Where it draws; tests give their own.
  struct Output {
    bool terminal = false;
    std::function<int()> columns;                   ///< of the terminal, now
    std::function<void(const std::string&)> draw;   ///< raw text onto the terminal
    std::function<void(const std::string&)> print;  ///< one line into the log
  };
  static Output standard_error();

  explicit ProgressDisplay(Output output = standard_error(), std::string unit = "img/s");
  /// Wipes a line that is still drawn (the run ended, or threw).
  ~ProgressDisplay() override;

  void started(const TrainingProgress& at, const Estimate& first) override;
  void stepped(const TrainingProgress& progress) override;
  void evaluated(const TrainingProgress& progress, const Evaluation& evaluation) override;
  void saved(const TrainingProgress& progress, const std::filesystem::path& file) override;

 private:
  void print(const std::string& line);
  void wipe();

  Output output_;
  std::string unit_;  ///< of the speed
  std::int64_t shown_ns_ = 0;
  bool drawn_ = false;
};

}  // namespace millrace
