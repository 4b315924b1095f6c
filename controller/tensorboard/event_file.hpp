#pragma once
// TensorBoard's event files: TFRecord, each record an Event of tensorflow/core/util/event.proto.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// Names and values of one step.
using Scalars = std::vector<std::pair<std::string, double>>;

/// Events as messages. `wall_seconds`: since 1970.
std::string version_event(double wall_seconds);
/// Readers forget what earlier files have of this step and later ones.
std::string start_event(double wall_seconds, std::int64_t step);
std::string scalars_event(double wall_seconds, std::int64_t step, const Scalars& scalars);

/// Length, checksum of the length, data, checksum of the data.
std::string tfrecord(const std::string& data);

/// Not thread-safe.
class EventFile {
 public:
  /// Makes the file and its folder. Throws ResourceError (tag "tensorboard").
  explicit EventFile(std::filesystem::path path);

  /// In the file when the call returns. Throws ResourceError (tag "tensorboard").
  void add(const std::string& event);

 private:
  std::filesystem::path path_;
  std::ofstream stream_;
};

}  // namespace millrace
