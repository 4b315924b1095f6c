#pragma once
// The checkpoints that a run writes. The disk takes each in while the training goes on: a slow card
// stops it for as long as a copy into the system's memory takes, not for the card.

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "controller/checkpoint.hpp"
#include "controller/run_folder.hpp"

namespace millrace {

/// Not thread-safe: one caller; it has a thread of its own while the disk works.
class RunCheckpoints {
 public:
  explicit RunCheckpoints(CheckpointFolder folder) : folder_(std::move(folder)) {}
  ~RunCheckpoints() { settle(); }
  RunCheckpoints(const RunCheckpoints&) = delete;
  RunCheckpoints& operator=(const RunCheckpoints&) = delete;

  const CheckpointFolder& folder() const { return folder_; }

  /// Before the first one. Throws ResourceError where `run` has no room for one of `bytes` more
  /// than there will be.
  void prepare(const RunFolder& run, std::int64_t bytes) const;

  /// The run goes on from this one.
  void resumed(const CheckpointInfo& info) { note(info); }
  /// Whether the newest has `step`, and its evaluation where `evaluated`.
  bool holds(std::int64_t step, bool evaluated) const;

  /// Copies the state and leaves it to the disk, once that has the one before. Throws
  /// ResourceError (disk full, …), for the one before, too.
  void save(const CheckpointInfo& info, const std::vector<SessionTensor>& state);
  /// The steps of those that have become complete since this was last asked.
  std::vector<std::int64_t> take_completed();
  /// Waits for the disk. Throws as save().
  void finish();
  /// The same where the run has failed anyway: what fails is warned of.
  void settle();

 private:
  void note(const CheckpointInfo& info);

  CheckpointFolder folder_;
  std::optional<std::int64_t> step_;     // of the newest
  std::vector<std::int64_t> completed_;  // and not asked for yet
  bool evaluated_ = false;               // the newest holds its evaluation

  std::thread flushing_;
  std::exception_ptr failure_;  // of flushing_, once it has ended
  std::atomic<bool> flushed_{false};
};

}  // namespace millrace
