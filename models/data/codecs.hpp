#pragma once
// One function per file format, behind decode_image.

#include "models/data/image.hpp"

namespace millrace {

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& origin, int channels,
                  const ShrinkLimit& limit);

Image decode_png(std::span<const std::uint8_t> bytes, const std::string& origin, int channels);

/// Throws ConfigError where width x height is above kMaxPixels.
void check_pixel_count(std::int64_t width, std::int64_t height, const std::string& origin);

/// Throws the ConfigError of an image that is not what it should be.
[[noreturn]] void refuse_image(const std::string& origin, const std::string& problem);

}  // namespace millrace
