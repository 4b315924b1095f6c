#include "models/data/image.hpp"

#include <array>
#include <cstring>

#include "millrace/errors.hpp"
#include "models/data/codecs.hpp"
#include "models/data/image_file.hpp"

namespace millrace {
namespace {

constexpr std::array<std::uint8_t, 3> kJpegMagic = {0xff, 0xd8, 0xff};
constexpr std::array<std::uint8_t, 8> kPngMagic = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

template <std::size_t N>
bool begins_with(std::span<const std::uint8_t> bytes, const std::array<std::uint8_t, N>& magic) {
  return bytes.size() >= N && std::memcmp(bytes.data(), magic.data(), N) == 0;
}

}  // namespace

void refuse_image(const std::string& origin, const std::string& problem) {
  throw ConfigError("image", origin + ": " + problem +
                                 "; replace or remove it, or leave broken images out with "
                                 "--skip-bad-images");
}

void check_pixel_count(std::int64_t width, std::int64_t height, const std::string& origin) {
  if (width * height <= kMaxPixels) return;
  refuse_image(origin, std::to_string(width) + " x " + std::to_string(height) + " are " +
                           std::to_string(width * height) + " pixels, the limit is " +
                           std::to_string(kMaxPixels));
}

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& origin, int channels,
                   const ShrinkLimit& limit) {
  if (bytes.empty()) refuse_image(origin, "the file is empty (0 bytes)");
  if (begins_with(bytes, kJpegMagic)) return decode_jpeg(bytes, origin, channels, limit);
  if (begins_with(bytes, kPngMagic)) return decode_png(bytes, origin, channels);
  refuse_image(origin, "is neither JPEG nor PNG, whatever its name ends in");
}

Image read_image(const std::string& file, int channels, const ShrinkLimit& limit) {
  return decode_image(read_image_file(file), file, channels, limit);
}

}  // namespace millrace
