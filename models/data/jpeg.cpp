// JPEG through libjpeg-turbo. libjpeg reports errors by longjmp, so the functions that call it own
// nothing that has a destructor; what they fill is owned by their callers.

// clang-format off
#include <cstdio>  // jpeglib.h uses what it does not include
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdlib>

#include "millrace/errors.hpp"
#include "models/data/codecs.hpp"

namespace millrace {
namespace {

/// More scans than any camera or encoder writes; a hostile file costs a full pass for each.
constexpr int kMaxScans = 100;

struct ErrorState {
  jpeg_error_mgr manager;  // first, so that libjpeg's pointer is ours
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void escape(j_common_ptr codec) {
  auto* state = reinterpret_cast<ErrorState*>(codec->err);
  codec->err->format_message(codec, state->message);
  std::longjmp(state->escape, 1);
}

/// libjpeg goes on with grey pixels where data is missing; here that is an error. Warnings about
/// harmless oddities (unknown markers, stray bytes) pass.
void on_message(j_common_ptr codec, int level) {
  if (level >= 0) return;
  switch (codec->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      escape(codec);
    default:
      break;
  }
}

void limit_scans(j_common_ptr codec) {
  auto* reader = reinterpret_cast<jpeg_decompress_struct*>(codec);
  if (reader->input_scan_number <= kMaxScans) return;
  auto* state = reinterpret_cast<ErrorState*>(codec->err);
  std::snprintf(state->message, sizeof state->message, "more than %d scans", kMaxScans);
  std::longjmp(state->escape, 1);
}

jpeg_error_mgr* start_errors(ErrorState& state) {
  jpeg_std_error(&state.manager);
  state.manager.error_exit = escape;
  state.manager.emit_message = on_message;
  return &state.manager;
}

/// A decompressor and what its callbacks need; every call that can fail returns false and leaves
/// the reason in errors.message.
struct Reader {
  jpeg_decompress_struct codec{};
  ErrorState errors{};
  jpeg_progress_mgr progress{};

  Reader() {
    codec.err = start_errors(errors);
    progress.progress_monitor = limit_scans;
  }
  ~Reader() { jpeg_destroy_decompress(&codec); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  bool read_header(const std::uint8_t* bytes, std::size_t size) {
    if (setjmp(errors.escape)) return false;
    jpeg_create_decompress(&codec);
    codec.progress = &progress;
    jpeg_mem_src(&codec, bytes, size);
    jpeg_read_header(&codec, TRUE);
    return true;
  }

  bool start(int eighths, J_COLOR_SPACE colours) {
    if (setjmp(errors.escape)) return false;
    codec.scale_num = static_cast<unsigned>(eighths);
    codec.scale_denom = 8;
    codec.out_color_space = colours;
    jpeg_start_decompress(&codec);
    return true;
  }

  bool read_rows(std::uint8_t* pixels, std::size_t row_bytes) {
    if (setjmp(errors.escape)) return false;
    while (codec.output_scanline < codec.output_height) {
      JSAMPROW row = pixels + codec.output_scanline * row_bytes;
      jpeg_read_scanlines(&codec, &row, 1);
    }
    jpeg_finish_decompress(&codec);
    return true;
  }
};

/// The smallest n of n/8 that keeps at least `limit` of the width and height.
int eighths_of(double limit) {
  return std::clamp(static_cast<int>(std::ceil(limit * 8 - 1e-9)), 1, 8);
}

bool has_four_inks(const jpeg_decompress_struct& codec) {
  return codec.jpeg_color_space == JCS_CMYK || codec.jpeg_color_space == JCS_YCCK;
}

J_COLOR_SPACE output_space(const jpeg_decompress_struct& codec, int channels) {
  if (has_four_inks(codec)) return JCS_CMYK;
  return channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
}

std::uint8_t scaled(int a, int b) { return static_cast<std::uint8_t>((a * b + 127) / 255); }

/// Adobe stores inks inverted (255: no ink); files without its marker store them upright.
std::vector<std::uint8_t> from_inks(const std::vector<std::uint8_t>& inks, bool inverted,
                                    int channels) {
  std::vector<std::uint8_t> result;
  result.reserve(inks.size() / 4 * static_cast<std::size_t>(channels));
  const int flip = inverted ? 0 : 255;
  for (std::size_t i = 0; i + 3 < inks.size(); i += 4) {
    const int black = inks[i + 3] ^ flip;
    const int red = scaled(inks[i] ^ flip, black), green = scaled(inks[i + 1] ^ flip, black),
              blue = scaled(inks[i + 2] ^ flip, black);
    if (channels == 1) {
      result.push_back(
          static_cast<std::uint8_t>((299 * red + 587 * green + 114 * blue + 500) / 1000));
    } else {
      result.insert(result.end(), {static_cast<std::uint8_t>(red), static_cast<std::uint8_t>(green),
                                   static_cast<std::uint8_t>(blue)});
    }
  }
  return result;
}

struct Writer {
  jpeg_compress_struct codec{};
  ErrorState errors{};
  std::uint8_t* bytes = nullptr;  // malloc'ed by libjpeg
  unsigned long size = 0;

  Writer() { codec.err = start_errors(errors); }
  ~Writer() {
    jpeg_destroy_compress(&codec);
    std::free(bytes);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  bool write(const Image& image, int quality) {
    if (setjmp(errors.escape)) return false;
    jpeg_create_compress(&codec);
    jpeg_mem_dest(&codec, &bytes, &size);
    codec.image_width = static_cast<unsigned>(image.width);
    codec.image_height = static_cast<unsigned>(image.height);
    codec.input_components = image.channels;
    codec.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&codec);
    jpeg_set_quality(&codec, quality, TRUE);
    jpeg_start_compress(&codec, TRUE);
    const std::size_t row_bytes = static_cast<std::size_t>(image.width * image.channels);
    while (codec.next_scanline < codec.image_height) {
      // libjpeg's interface is not const; it does not write to its input.
      auto* row = const_cast<std::uint8_t*>(image.pixels.data() + codec.next_scanline * row_bytes);
      jpeg_write_scanlines(&codec, &row, 1);
    }
    jpeg_finish_compress(&codec);
    return true;
  }
};

}  // namespace

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& origin, int channels,
                  const ShrinkLimit& limit) {
  Reader reader;
  const auto damaged = [&] {
    refuse_image(origin, std::string("cut short or damaged: ") + reader.errors.message);
  };
  if (!reader.read_header(bytes.data(), bytes.size())) damaged();
  const auto& codec = reader.codec;
  check_pixel_count(codec.image_width, codec.image_height, origin);
  Image image;
  image.channels = channels;
  image.full_width = static_cast<int>(codec.image_width);
  image.full_height = static_cast<int>(codec.image_height);
  const int eighths = limit ? eighths_of(limit(image.full_width, image.full_height)) : 8;
  if (!reader.start(eighths, output_space(codec, channels))) damaged();
  image.width = static_cast<int>(codec.output_width);
  image.height = static_cast<int>(codec.output_height);
  const std::size_t row_bytes = static_cast<std::size_t>(codec.output_width) *
                                static_cast<std::size_t>(codec.output_components);
  image.pixels.resize(row_bytes * codec.output_height);
  if (!reader.read_rows(image.pixels.data(), row_bytes)) damaged();
  if (has_four_inks(codec)) {
    image.pixels = from_inks(image.pixels, codec.saw_Adobe_marker == TRUE, channels);
  }
  return image;
}

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  Writer writer;
  MILLRACE_CHECK(writer.write(image, quality), "image", writer.errors.message);
  return {writer.bytes, writer.bytes + writer.size};
}

}  // namespace millrace
