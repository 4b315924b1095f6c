#pragma once
// The checkpoints that a run writes. Each is copied, and flushed to the disk, while the training
// goes on: the next step's updates alone wait for the copy, nothing for a slow card.

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
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

  /// Before the first one. Throws ResourceError where `run` has no room for all of `bytes` that
  /// there will be at a time.
  void prepare(const RunFolder& run, std::int64_t bytes) const;

  /// Reads the newest whole one into `session`, which goes on from there, and sets those aside that
  /// it had to pass over; empty, with a warning, where there is none. Throws ConfigError where it
  /// is of another training or behind `last_step`, where the run in `run` is to end.
  std::optional<CheckpointInfo> restore(TrainingSession& session, const TrainingFacts& facts,
                                        std::optional<std::int64_t> last_step,
                                        const RunFolder& run);
  /// Whether the newest has `step`, and its evaluation where `evaluated`.
  bool holds(std::int64_t step, bool evaluated) const;

  /// Begins to copy the state, once the disk has the one before. `state` must stay as it is until
  /// wait_copied() has returned. Throws ResourceError (disk full, …) for the one before.
  void save(const CheckpointInfo& info, const std::vector<SessionTensor>& state);
  /// Waits until the state of the last save() may change. Thread-safe, but for save().
  void wait_copied();
  /// The longest wait for a copy since this was last asked.
  std::int64_t take_waited_ns() { return waited_ns_.exchange(0); }
  struct Completed {
    std::int64_t step = 0;
    std::int64_t wall_ns = 0;  ///< from save() on, until the disk had it
  };
  /// Those that have become complete since this was last asked.
  std::vector<Completed> take_completed();
  /// How long the disk has had the one that it has not got yet; empty where it has all.
  std::optional<std::int64_t> flushed_for_ns() const {
    if (!writing_.joinable() || written_) return std::nullopt;
    return now_ns_() - begun_ns_;
  }
  /// Waits for the disk. Throws as save().
  void finish();
  /// The same where the run has failed anyway: what fails is warned of.
  void settle();

 private:
  void note(const CheckpointInfo& info);
  void write(const CheckpointInfo& info, const std::vector<SessionTensor>& state,
             std::promise<void>& copied);

  CheckpointFolder folder_;
  std::function<std::int64_t()> now_ns_;
  std::optional<std::int64_t> step_;  // of the newest
  std::vector<Completed> completed_;  // and not asked for yet
  bool evaluated_ = false;            // the newest holds its evaluation

  std::thread writing_;
  std::shared_future<void> copied_;  // or failed
  std::atomic<std::int64_t> waited_ns_{0};
  std::exception_ptr failure_;  // of writing_, once it has ended
  std::int64_t begun_ns_ = 0, ended_ns_ = 0;
  std::atomic<bool> written_{false};
};

}  // namespace millrace
