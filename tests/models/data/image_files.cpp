#include "tests/models/data/image_files.hpp"

// clang-format off
#include <cstdio>  // jpeglib.h uses what it does not include
#include <jpeglib.h>
// clang-format on
#include <png.h>
#include <stdlib.h>

#include <fstream>
#include <stdexcept>

#include "millrace/errors.hpp"

namespace millrace::testing {
namespace {

/// libpng's low-level writer: the simplified one would convert 16 bits from linear light.
void append_bytes(png_structp png, png_bytep data, png_size_t size) {
  auto* bytes = static_cast<Bytes*>(png_get_io_ptr(png));
  bytes->insert(bytes->end(), data, data + size);
}

Bytes write_png(const Image& image, int depth, int colour_type) {
  Bytes bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &bytes, append_bytes, nullptr);
  png_set_IHDR(png, info, static_cast<unsigned>(image.width), static_cast<unsigned>(image.height),
               depth, colour_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  const auto row_samples = static_cast<std::size_t>(image.width * image.channels);
  for (int y = 0; y < image.height; ++y) {
    Bytes row;
    for (std::size_t i = 0; i < row_samples; ++i) {
      const std::uint8_t value = image.pixels[static_cast<std::size_t>(y) * row_samples + i];
      row.insert(row.end(), depth == 16 ? 2 : 1, value);  // value * 257, big-endian
    }
    png_write_row(png, row.data());
  }
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

J_COLOR_SPACE space_of(const Image& image) {
  if (image.channels == 4) return JCS_CMYK;
  return image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
}

}  // namespace

ScratchFolder::ScratchFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "millrace-models.XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
  path_ = name;
}

ScratchFolder::~ScratchFolder() { std::filesystem::remove_all(path_); }

void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  if (!stream) throw std::runtime_error("cannot write " + path.string());
}

Image make_image(int width, int height, int channels, const Pattern& pattern) {
  Image image{width, height, channels, width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<std::uint8_t>(pattern(x, y, c)));
      }
    }
  }
  return image;
}

Image flat_image(int width, int height, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  return make_image(width, height, 3, [&](int, int, int c) {
    return c == 0 ? red : c == 1 ? green : blue;
  });
}

Image gradient_image(int width, int height, int channels) {
  return make_image(width, height, channels, [&](int x, int y, int c) {
    return 40 + 60 * x / width + 60 * y / height + 30 * c;
  });
}

Bytes jpeg_bytes(const Image& image, const JpegKind& kind) {
  jpeg_compress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_compress(&codec);
  std::uint8_t* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&codec, &data, &size);
  codec.image_width = static_cast<unsigned>(image.width);
  codec.image_height = static_cast<unsigned>(image.height);
  codec.input_components = image.channels;
  codec.in_color_space = space_of(image);
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, 98, TRUE);
  codec.comp_info[0].h_samp_factor = codec.comp_info[0].v_samp_factor = 1;
  if (kind.progressive) jpeg_simple_progression(&codec);
  if (kind.inks && !kind.adobe) codec.write_Adobe_marker = FALSE;
  jpeg_start_compress(&codec, TRUE);
  const auto row_bytes = static_cast<std::size_t>(image.width * image.channels);
  while (codec.next_scanline < codec.image_height) {
    Bytes row(
        image.pixels.begin() + static_cast<std::ptrdiff_t>(codec.next_scanline * row_bytes),
        image.pixels.begin() + static_cast<std::ptrdiff_t>((codec.next_scanline + 1) * row_bytes));
    const bool inverted = kind.inks && kind.adobe;
    for (auto& value : row) value = inverted ? static_cast<std::uint8_t>(255 - value) : value;
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&codec, &pointer, 1);
  }
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  Bytes bytes(data, data + size);
  std::free(data);
  return bytes;
}

Bytes png_bytes(const Image& image, bool sixteen) {
  return write_png(image, sixteen ? 16 : 8,
                   image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB);
}

Bytes png_with_alpha(const Image& rgba) { return write_png(rgba, 8, PNG_COLOR_TYPE_RGB_ALPHA); }

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace millrace::testing
