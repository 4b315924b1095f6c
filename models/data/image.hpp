#pragma once
// JPEG and PNG in memory: decoded to 8-bit grey or RGB, shrunk on the way where that is cheaper.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace millrace {

/// Pixels [height][width][channels], channels 1 (grey) or 3 (RGB), 8 bits each.
struct Image {
  int width = 0, height = 0, channels = 0;
  /// As stored in the file; larger than width x height where decoding shrank the image.
  int full_width = 0, full_height = 0;
  std::vector<std::uint8_t> pixels;
};

/// Told the stored width and height, says by how much the image may be shrunk: 1 keeps every
/// pixel, 0.5 allows half the width and height. Decoders use the nearest step that is not below.
using ShrinkLimit = std::function<double(int full_width, int full_height)>;

/// Images with more pixels are refused: one thread's buffer stays below 200 MB.
inline constexpr std::int64_t kMaxPixels = 50'000'000;

/// Decodes a JPEG or PNG, recognised by its first bytes, to `channels` (1 or 3). Grey becomes three
/// equal channels and colour its luminance; CMYK and YCCK become RGB (Adobe's inverted ones, too);
/// 16 bits become 8; transparent pixels are laid on white; EXIF orientation is not applied. JPEG is
/// shrunk in steps of 1/8 inside the inverse cosine transform, which saves up to half of the time;
/// PNG never is. `limit` may be empty: 1. Thread-safe.
/// Throws ConfigError (tag "image") that names `origin`: 0 bytes, another format, cut short or
/// damaged, more than kMaxPixels.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& origin, int channels,
                   const ShrinkLimit& limit = {});

/// Reads the file and decodes it; also throws ConfigError where it cannot be read.
Image read_image(const std::string& file, int channels, const ShrinkLimit& limit = {});

/// Baseline JPEG, 4:2:0, quality 1..100: the same pixels give the same bytes under one libjpeg.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality);

}  // namespace millrace
