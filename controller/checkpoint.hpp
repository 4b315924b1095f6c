#pragma once
// Checkpoints of a run: checkpoints/step-000123.safetensors, complete or absent, checked when read.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/session.hpp"
#include "framework/base/file.hpp"
#include "millrace/safetensors.hpp"

namespace millrace {

/// What a training is, beside its tensors: what `resume`, `eval` and `predict` need to know.
struct TrainingFacts {
  std::string model;
  std::uint64_t seed = 1;
  std::vector<std::string> classes;  ///< names, by label
  std::vector<double> mean;          ///< per channel, of the normalisation
  std::vector<double> deviation;
  std::string configuration;  ///< the caller's own text, kept as it is
  std::int64_t samples = 0;   ///< to train on; 0: not known
  bool operator==(const TrainingFacts&) const = default;
};

struct CheckpointInfo {
  TrainingFacts facts;
  std::int64_t step = 0;                  ///< steps trained: the run continues before step `step`
  std::int64_t trained_ns = 0;            ///< time the run has taken so far, over all its processes
  std::optional<double> accuracy;         ///< of the validation at this step; absent: none was due
  std::optional<double> evaluation_loss;  ///< likewise
  double energy_joules = 0;               ///< that the run has used so far, where it has a budget
  bool operator==(const CheckpointInfo&) const = default;
};

/// A checkpoint that was read to its end: header and checksum are right.
struct Checkpoint {
  CheckpointInfo info;
  SafetensorsFile file;
};

/// Writes the tensors of `state` and `info`, with a checksum (XXH64) over all of it. Complete or
/// absent. Throws ResourceError (disk full, read-only); an older file of that name then stays.
void write_checkpoint(const std::filesystem::path& path, const CheckpointInfo& info,
                      const std::vector<SessionTensor>& state);

/// Throws ConfigError (tag "checkpoint" or "safetensors"): not a checkpoint, cut short, damaged.
Checkpoint open_checkpoint(const std::filesystem::path& path);

/// Writes the checkpoint's tensors into `state`. Warns where the data have changed. Throws
/// ConfigError (tag "checkpoint"), with nothing written, for another model, other classes and for
/// tensors that are missing, too many or of another shape.
void restore_checkpoint(const Checkpoint& checkpoint, const TrainingFacts& training,
                        const std::vector<SessionTensor>& state);

/// The checkpoints of one run. Not thread-safe.
class CheckpointFolder {
 public:
  /// Keeps the newest `keep` >= 1 files and the one of the best accuracy.
  explicit CheckpointFolder(std::filesystem::path folder, int keep = 2);

  /// Makes the folder where it is missing and removes what writers that were killed left behind.
  /// REQUIRES: no other process writes into it.
  void prepare() const;

  /// Writes the file of info.step, then removes those that are not kept: copy(), then complete().
  void save(const CheckpointInfo& info, const std::vector<SessionTensor>& state) const;
  /// Writes the file, which has its name and is safe on the disk once complete() has run, on any
  /// thread.
  std::unique_ptr<AtomicFile> copy(const CheckpointInfo& info,
                                   const std::vector<SessionTensor>& state) const;
  void complete(AtomicFile& file) const;

  /// `which`: "last" (the newest that is whole; damaged ones are warned of and passed over), "best"
  /// (the best accuracy, the later one of equals; the newest where none was evaluated) or a step.
  /// Throws ConfigError (tag "checkpoint") that names the steps there are.
  Checkpoint open(const std::string& which) const;

  /// The newest that is whole; absent where there is none.
  std::optional<Checkpoint> open_last() const;

  /// Gives the files of later steps another name, with a warning: those that cannot be read, which
  /// would count as the newest.
  void set_aside_after(std::int64_t step) const;

  /// Of whole ones, with one that is being written.
  std::int64_t most() const { return static_cast<std::int64_t>(keep_) + 2; }

  std::vector<std::int64_t> steps() const;  ///< ascending
  std::filesystem::path path_of(std::int64_t step) const;

 private:
  void remove_old() const;
  /// Steps by accuracy, best first; those without one come last, newest first.
  std::vector<std::int64_t> steps_by_accuracy() const;
  std::optional<Checkpoint> first_whole(const std::vector<std::int64_t>& steps) const;

  std::filesystem::path folder_;
  std::size_t keep_;
};

}  // namespace millrace
