#pragma once
// What batches are made of: the samples of a data set by index, as a model reads them.

#include <cstdint>
#include <vector>

namespace millrace {

/// Identifies a draw: all random choices for a sample are a function of it alone.
struct SampleKey {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  std::int64_t index = 0;  ///< in the data set
};

/// Of one sample.
struct SampleLayout {
  std::vector<std::int64_t> inputs;  ///< extents
  bool tokens = false;               ///< inputs are int64 ids; else float32 numbers
  std::vector<std::int64_t> labels;  ///< extents; empty: one label

  std::int64_t input_bytes() const;
  std::int64_t label_count() const;
};

/// Immutable; every method is thread-safe.
class Samples {
 public:
  virtual ~Samples() = default;

  virtual std::int64_t size() const = 0;
  virtual SampleLayout layout() const = 0;

  /// Writes the sample, dense, as layout() has it: in training with whatever the key draws.
  /// Throws ConfigError naming the sample where it is broken.
  virtual void fill(const SampleKey& key, bool training, void* inputs,
                    std::int64_t* labels) const = 0;

  /// fill() of the index will follow: has the system read what it will read.
  virtual void will_need(std::int64_t) const {}
};

/// CPU time of making one sample for training on one thread: median of `count`, spread evenly.
/// Broken ones are left out; throws the last one's error where all are, ConfigError (tag "data")
/// where there is none.
double ns_per_sample(const Samples& samples, std::uint64_t seed, int count = 16);

}  // namespace millrace
