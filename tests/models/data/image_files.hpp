#pragma once
// Images and data sets that the tests make themselves.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "models/data/image.hpp"

namespace millrace::testing {

using Bytes = std::vector<std::uint8_t>;

/// An empty folder, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Writes the file, making its folders.
void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes);

/// channel value = f(x, y, channel).
using Pattern = std::function<int(int x, int y, int channel)>;
Image make_image(int width, int height, int channels, const Pattern& pattern);
/// One colour.
Image flat_image(int width, int height, std::uint8_t red, std::uint8_t green, std::uint8_t blue);
/// Smooth in both directions, so that JPEG keeps it within a few steps.
Image gradient_image(int width, int height, int channels = 3);

struct JpegKind {
  bool progressive = false;
  /// Four inks of which `image` holds C, M, Y, K; with Adobe's marker they are stored inverted.
  bool inks = false;
  bool adobe = true;
};
/// Quality 98, no chroma subsampling. `image` may have 1, 3 or (inks) 4 channels.
Bytes jpeg_bytes(const Image& image, const JpegKind& kind = {});

/// Grey or RGB; 8 bits a sample, or 16 (the 8-bit values times 257).
Bytes png_bytes(const Image& image, bool sixteen = false);
/// RGBA.
Bytes png_with_alpha(const Image& rgba);

/// What `action` throws as ConfigError; "" where it throws nothing.
std::string message_of(const std::function<void()>& action);

}  // namespace millrace::testing
