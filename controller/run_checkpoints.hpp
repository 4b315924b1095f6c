#pragma once
// The checkpoints that a run writes. The disk takes each in while the training goes on: a slow card
// stops it for as long as a copy into the system's memory takes, not for the card.

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "controller/checkpoint.hpp"
#include "controller/run_folder.hpp"

namespace millrace {

/// Not thread-safe: one caller; it has a thread of its own while the disk works.
class RunCheckpoints {
 public:
  /// `now_ns`: a clock, read by the thread, too.
  RunCheckpoints(CheckpointFolder folder, std::function<std::int64_t()> now_ns)
      : folder_(std::move(folder)), now_ns_(std::move(now_ns)) {}
  ~RunCheckpoints() { settle(); }
  RunCheckpoints(const RunCheckpoints&) = delete;
  RunCheckpoints& operator=(const RunCheckpoints&) = delete;

  const CheckpointFolder& folder() const { return folder_; }

  /// Before the first one. Throws ResourceError where `run` has no room for one of `bytes` more
  /// than there will be.
  void prepare(const RunFolder& run, std::int64_t bytes) const;

  /// Reads the newest whole one into `session`, which goes on from there, and removes later ones;
  /// empty, with a warning, where there is none. Throws ConfigError where it is of another training
  /// or behind `last_step`, where the run in `run` is to end.
  std::optional<CheckpointInfo> restore(TrainingSession& session, const TrainingFacts& facts,
                                        std::optional<std::int64_t> last_step,
                                        const RunFolder& run);
  /// Whether the newest has `step`, and its evaluation where `evaluated`.
  bool holds(std::int64_t step, bool evaluated) const;

  /// Copies the state and leaves it to the disk, once that has the one before. Throws
  /// ResourceError (disk full, …), for the one before, too.
  void save(const CheckpointInfo& info, const std::vector<SessionTensor>& state);
  struct Completed {
    std::int64_t step = 0;
    std::int64_t wall_ns = 0;  ///< from save() on, until the disk had it
  };
  /// Those that have become complete since this was last asked.
  std::vector<Completed> take_completed();
  /// Waits for the disk. Throws as save().
  void finish();
  /// The same where the run has failed anyway: what fails is warned of.
  void settle();

 private:
  void note(const CheckpointInfo& info);
  void flush(AtomicFile& file);

  CheckpointFolder folder_;
  std::function<std::int64_t()> now_ns_;
  std::optional<std::int64_t> step_;  // of the newest
  std::vector<Completed> completed_;  // and not asked for yet
  bool evaluated_ = false;            // the newest holds its evaluation

  std::thread flushing_;
  std::exception_ptr failure_;  // of flushing_, once it has ended
  std::int64_t begun_ns_ = 0, ended_ns_ = 0;
  std::atomic<bool> flushed_{false};
};

}  // namespace millrace
