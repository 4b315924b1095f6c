// PNG through libpng's simplified interface: palettes, 16 bits, alpha and interlacing are its work.

#include <png.h>

#include "models/data/codecs.hpp"

namespace millrace {
namespace {

struct Reader {
  png_image image{};

  Reader() { image.version = PNG_IMAGE_VERSION; }
  ~Reader() { png_image_free(&image); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

}  // namespace

Image decode_png(std::span<const std::uint8_t> bytes, const std::string& origin, int channels) {
  Reader reader;
  const auto damaged = [&] {
    refuse_image(origin, std::string("cut short or damaged: ") + reader.image.message);
  };
  if (!png_image_begin_read_from_memory(&reader.image, bytes.data(), bytes.size())) damaged();
  check_pixel_count(reader.image.width, reader.image.height, origin);
  reader.image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  // Without it, libpng takes 16-bit samples without a gamma chunk for linear light.
  reader.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;

  Image image;
  image.channels = channels;
  image.width = image.full_width = static_cast<int>(reader.image.width);
  image.height = image.full_height = static_cast<int>(reader.image.height);
  image.pixels.resize(PNG_IMAGE_SIZE(reader.image));
  const png_color white = {255, 255, 255};
  if (!png_image_finish_read(&reader.image, &white, image.pixels.data(), 0, nullptr)) damaged();
  return image;
}

}  // namespace millrace
