#pragma once
// Batches in an order that depends on (seed, epoch) alone, decoded ahead on oneTBB.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "millrace/train_step.hpp"
#include "models/data/augment.hpp"
#include "models/data/image_file.hpp"
#include "models/data/samples.hpp"

namespace millrace {

struct LoaderSettings {
  std::int64_t batch = 64;
  std::uint64_t seed = 1;
  /// Shuffled, with what is drawn for each sample, without end; else the whole set once, in order.
  bool training = false;
  /// Batches decoded before they are asked for. 0: decoded when asked for, and only read ahead:
  /// where the stages keep every CPU busy, decoding beside them slows all of them at once.
  int look_ahead = 2;
  std::vector<int> cpus;  ///< where decoding may run; empty: wherever the process may
  /// Decoding at once; 0: one for each of these CPUs, so that decoding slows all cores alike. One
  /// thread would keep to one core, and the stages' other cores would wait for that one.
  int threads = 0;
  /// A broken image is left out with a warning that names it: in training the next good sample
  /// takes its place, so that batches keep their size and a run can be resumed; in validation the
  /// batch is smaller.
  bool skip_bad = false;
  std::set<std::int64_t> known_broken;  ///< samples that are counted and were warned of already
};

/// Not thread-safe: one caller. Decoding threads are oneTBB's; none runs after the destructor.
class Loader {
 public:
  /// Throws ConfigError (tag "data"): a batch, look-ahead or thread count out of range, an empty
  /// set. Decoding begins at once.
  Loader(std::shared_ptr<const Samples> samples, LoaderSettings settings);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The batch of position(): n samples as the set's layout has them; n is `batch`, less at the end
  /// of an epoch. Waits for it. Absent at the end of validation data; training never ends.
  /// Rethrows what decoding threw (ConfigError naming the image); a later call tries again.
  std::optional<Batch> next();

  /// The next next() returns batch `step` (counted from 0 over all epochs).
  void seek(std::int64_t step);

  std::int64_t position() const;
  std::int64_t steps_per_epoch() const;

  std::int64_t waits() const;    ///< calls of next() that had to wait for decoding
  std::int64_t wait_ns() const;  ///< and for how long in all
  DiskWaits disk_waits() const;  ///< of its decoding threads, for files not in memory yet
  std::int64_t skipped() const;  ///< broken images met so far, those known before too
  /// The samples that these are, for another Loader of the set. What is under way ends, and is
  /// decoded anew where next() is called after all.
  std::set<std::int64_t> broken();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// One image file as a batch of one, as validation sees it. Throws as read_image does.
at::Tensor load_image(const std::string& file, const SampleFormat& format);

}  // namespace millrace
