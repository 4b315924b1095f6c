#pragma once
// The generated data set: photo-like JPEG images of ten kinds of scenes.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

struct SceneSettings {
  std::int64_t per_class = 60;
  std::uint64_t seed = 1;
  int threads = 0;  ///< 0: as many as there are CPUs
  bool operator==(const SceneSettings&) const = default;
};

/// The ten classes, in the order of their labels (alphabetical).
const std::vector<std::string>& scene_names();

/// Writes folder/train/CLASS/NNN.jpg (five of six) and folder/val/CLASS/NNN.jpg (the sixth), about
/// 500 x 375 px each. What a picture shows cannot be told from its colours or brightness alone:
/// palettes, light, clutter, noise, size and position are drawn from the same ranges for all
/// classes. The same settings give the same bytes. Complete or absent: made beside the folder and
/// renamed. Returns false where a complete set with these settings was there already.
/// Throws ConfigError (tag "data") where the folder holds anything else or per_class is not
/// 2..100000, ResourceError where it cannot be written.
bool make_scenes(const std::string& folder, const SceneSettings& settings);

}  // namespace millrace
