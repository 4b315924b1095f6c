#pragma once
// Labelled images by index, and the sets that are read from disk.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/data/image.hpp"

namespace millrace {

/// Per channel, of pixel values scaled to 0..1.
struct Normalisation {
  std::vector<float> mean, deviation;
  bool operator==(const Normalisation&) const = default;
};

/// Immutable; every method is thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;
  virtual const std::vector<std::string>& class_names() const = 0;
  virtual std::int64_t label(std::int64_t index) const = 0;  ///< 0 .. class_names().size() - 1
  /// What an error calls the sample: a path, or a file and the record in it.
  virtual std::string sample_name(std::int64_t index) const = 0;

  /// Decodes sample `index` to 1 or 3 channels (image.hpp). Throws ConfigError naming the sample
  /// where it is broken.
  virtual Image decode(std::int64_t index, int channels, const ShrinkLimit& limit) const = 0;

  /// decode(index) will follow: has the system read what it will read (image_file.hpp).
  virtual void will_need(std::int64_t) const {}

  /// The published statistics of a well-known set with `channels` channels; absent: compute them.
  virtual std::optional<Normalisation> known_normalisation(int channels) const = 0;
  /// False where a mirror image is another thing (digits).
  virtual bool may_mirror() const { return true; }
};

struct DataSplit {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> validation;  ///< null where there is none
  std::string kind;                           ///< "image folder", "CIFAR-10", "MNIST"
};

struct DataRequest {
  std::string path;  ///< a folder
  /// Share of the samples of each class that becomes validation data where the set has no split of
  /// its own; 0: none.
  double validation_fraction = 0.1;
  std::uint64_t seed = 1;  ///< of that split
  /// An empty class, or a record with a label out of range, is left out with a warning instead of
  /// an error.
  bool skip_bad = false;
};

/// Opens the set that the folder holds:
///   CIFAR-10 binary  data_batch_*.bin (and test_batch.bin), there or in cifar-10-batches-bin/
///   MNIST idx        train-images-idx3-ubyte with its labels (and t10k-…), each also as .gz
///   image folder     CLASS/*.jpg|jpeg|png, nested folders too; or train/CLASS/… with nothing but
///                    val/, validation/ or test/ beside it; hidden folders are passed over
/// Images are decoded when asked for, not here.
/// Throws ConfigError (tag "data") naming the path and the remedy: missing folder, a file instead
/// of a folder, nothing that is known, fewer than two classes, an empty class, a class of the
/// validation data that training lacks, files cut short, a label out of range.
DataSplit open_data(const DataRequest& request);

/// Mean and deviation over up to `samples` samples, evenly spread. Broken ones are left out; throws
/// the last one's error where all are.
Normalisation measure_normalisation(const Dataset& dataset, int channels,
                                    std::int64_t samples = 500);

/// known_normalisation(), else measured.
Normalisation normalisation_of(const Dataset& dataset, int channels);

}  // namespace millrace
