#include "models/data/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "models/data/image_file.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace millrace::testing;

/// Largest difference of two images of the same shape.
int difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.channels, b.channels);
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  int worst = 0;
  for (std::size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i) {
    worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return worst;
}

Image decode(const Bytes& bytes, int channels = 3, const ShrinkLimit& limit = {}) {
  return decode_image(bytes, "picture", channels, limit);
}

std::string refusal(const Bytes& bytes) {
  return message_of([&] { decode(bytes); });
}

TEST(Jpeg, ComesBackNearlyAsItWas) {
  const Image image = gradient_image(61, 47);
  EXPECT_LE(difference(decode(jpeg_bytes(image)), image), 4);
  EXPECT_LE(difference(decode(jpeg_bytes(image, {.progressive = true})), image), 4);
}

TEST(Jpeg, OfThisEncoderComesBackNearlyAsItWas) {
  const Image image = gradient_image(64, 48);
  EXPECT_LE(difference(decode(encode_jpeg(image, 95)), image), 8);
  const Image grey = gradient_image(64, 48, 1);
  EXPECT_LE(difference(decode(encode_jpeg(grey, 95), 1), grey), 4);
}

TEST(Jpeg, GreyBecomesThreeEqualChannels) {
  const Image image = decode(jpeg_bytes(gradient_image(16, 16, 1)));
  ASSERT_EQ(image.channels, 3);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    ASSERT_EQ(image.pixels[i], image.pixels[i + 1]);
    ASSERT_EQ(image.pixels[i], image.pixels[i + 2]);
  }
}

TEST(Jpeg, ColourBecomesItsLuminance) {
  const Image image = decode(jpeg_bytes(flat_image(16, 16, 200, 100, 50)), 1);
  ASSERT_EQ(image.channels, 1);
  EXPECT_NEAR(image.pixels[0], 0.299 * 200 + 0.587 * 100 + 0.114 * 50, 2);
}

TEST(Jpeg, InksBecomeColours) {
  // C = 0, M = 128, Y = 255, K = 64: red (255 - 0) * 191 / 255, green 127 * 191 / 255, no blue.
  const Image inks = make_image(16, 16, 4, [](int, int, int c) {
    return std::array{0, 128, 255, 64}[static_cast<std::size_t>(c)];
  });
  for (const bool adobe : {true, false}) {
    const Bytes bytes = jpeg_bytes(inks, {.inks = true, .adobe = adobe});
    const Image image = decode(bytes);
    ASSERT_EQ(image.pixels.size(), 16u * 16 * 3) << adobe;
    EXPECT_NEAR(image.pixels[0], 191, 3) << adobe;
    EXPECT_NEAR(image.pixels[1], 95, 3) << adobe;
    EXPECT_NEAR(image.pixels[2], 0, 3) << adobe;
    const Image grey = decode(bytes, 1);
    ASSERT_EQ(grey.pixels.size(), 16u * 16) << adobe;
    EXPECT_NEAR(grey.pixels[0], 0.299 * 191 + 0.587 * 95, 3) << adobe;
  }
}

TEST(Jpeg, IsShrunkByEighthsButNotBelowTheLimit) {
  const Bytes bytes = jpeg_bytes(gradient_image(400, 240));
  const auto decoded_at = [&](double limit) {
    return decode(bytes, 3, [&](int full_width, int full_height) {
      EXPECT_EQ(full_width, 400);
      EXPECT_EQ(full_height, 240);
      return limit;
    });
  };
  EXPECT_EQ(decoded_at(0.5).width, 200);
  EXPECT_EQ(decoded_at(0.51).width, 250);
  EXPECT_EQ(decoded_at(0.01).width, 50);
  EXPECT_EQ(decoded_at(1).width, 400);
  EXPECT_EQ(decoded_at(7).width, 400);
  const Image half = decoded_at(0.5);
  EXPECT_EQ(half.height, 120);
  EXPECT_EQ(half.full_width, 400);
  EXPECT_EQ(half.full_height, 240);
  const Image smaller = gradient_image(200, 120);
  EXPECT_LE(difference(half, smaller), 5);
}

TEST(Png, ComesBackExactly) {
  const Image image = gradient_image(31, 17), grey = gradient_image(31, 17, 1);
  EXPECT_EQ(difference(decode(png_bytes(image)), image), 0);
  EXPECT_EQ(difference(decode(png_bytes(grey), 1), grey), 0);
  EXPECT_EQ(decode(png_bytes(grey)).pixels[1], grey.pixels[0]);
}

TEST(Png, SixteenBitsBecomeEight) {
  const Image image = gradient_image(31, 17);
  EXPECT_LE(difference(decode(png_bytes(image, /*sixteen=*/true)), image), 1);
}

TEST(Png, TransparentPixelsLieOnWhite) {
  const Image rgba =
      make_image(2, 1, 4, [](int x, int, int c) { return c == 3 ? (x == 0 ? 0 : 255) : 40; });
  const Image image = decode(png_with_alpha(rgba));
  EXPECT_EQ(image.pixels, (Bytes{255, 255, 255, 40, 40, 40}));
}

TEST(Png, IsNotShrunk) {
  const Image image = decode(png_bytes(gradient_image(64, 64)), 3, [](int, int) { return 0.25; });
  EXPECT_EQ(image.width, 64);
}

TEST(Image, OfOnePixel) {
  EXPECT_EQ(decode(png_bytes(flat_image(1, 1, 9, 8, 7))).pixels, (Bytes{9, 8, 7}));
  EXPECT_EQ(decode(jpeg_bytes(flat_image(1, 1, 90, 90, 90))).width, 1);
}

TEST(Image, TwentyThousandPixelsWide) {
  const Image wide = flat_image(20'000, 3, 50, 60, 70);
  EXPECT_EQ(decode(png_bytes(wide)).width, 20'000);
  EXPECT_EQ(decode(jpeg_bytes(wide)).width, 20'000);
}

/// Writes a big-endian number.
void put(Bytes& bytes, std::size_t at, std::uint32_t value) {
  for (int i = 3; i >= 0; --i, value >>= 8) bytes[at + static_cast<std::size_t>(i)] = value & 0xff;
}

/// A PNG whose header announces `width` x `height`, with less data than that: the header chunk's
/// content stands in bytes 12 to 28, its checksum after it.
Bytes png_announcing(std::uint32_t width, std::uint32_t height) {
  Bytes bytes = png_bytes(gradient_image(16, 16));
  put(bytes, 16, width);
  put(bytes, 20, height);
  put(bytes, 29, static_cast<std::uint32_t>(crc32(0, bytes.data() + 12, 17)));
  return bytes;
}

/// The same of a JPEG: both stand in its frame header.
Bytes jpeg_announcing(std::uint16_t width, std::uint16_t height) {
  Bytes bytes = jpeg_bytes(gradient_image(16, 16));
  const Bytes marker = {0xff, 0xc0};
  const auto frame = std::search(bytes.begin(), bytes.end(), marker.begin(), marker.end());
  const auto sizes = static_cast<std::size_t>(frame - bytes.begin()) + 5;
  put(bytes, sizes, std::uint32_t{height} << 16 | width);
  return bytes;
}

TEST(Image, WithTooManyPixelsIsRefusedBeforeItIsDecoded) {
  EXPECT_THAT(refusal(png_announcing(50'001, 1000)),
              AllOf(HasSubstr("50001 x 1000"), HasSubstr("limit is 50000000")));
  EXPECT_THAT(refusal(jpeg_announcing(65'500, 65'500)),
              AllOf(HasSubstr("65500 x 65500"), HasSubstr("limit is 50000000")));
}

TEST(Image, EmptyOrOfAnotherFormatIsRefused) {
  EXPECT_THAT(refusal({}), AllOf(HasSubstr("[image] picture"), HasSubstr("0 bytes")));
  EXPECT_THAT(refusal({'G', 'I', 'F', '8', '9', 'a'}), HasSubstr("neither JPEG nor PNG"));
  EXPECT_THAT(refusal({0xff}), HasSubstr("neither JPEG nor PNG"));
}

class CutShort : public ::testing::TestWithParam<int> {};

TEST_P(CutShort, IsRefusedWhereverItEnds) {
  const Image image = gradient_image(64, 48);
  for (const Bytes& whole : {jpeg_bytes(image), jpeg_bytes(image, {.progressive = true}),
                             png_bytes(image), png_bytes(image, true)}) {
    const Bytes part(whole.begin(), whole.begin() + std::ssize(whole) * GetParam() / 100);
    EXPECT_THAT(refusal(part), HasSubstr("--skip-bad-images")) << part.size() << " bytes";
  }
}

INSTANTIATE_TEST_SUITE_P(Percent, CutShort, ::testing::Values(1, 5, 20, 50, 80, 90));

TEST(Image, WithFlippedBytesIsDecodedOrRefusedButNeverCrashes) {
  const Image image = gradient_image(48, 48);
  int refused = 0;
  for (const Bytes& whole :
       {jpeg_bytes(image), jpeg_bytes(image, {.progressive = true}), png_bytes(image)}) {
    for (std::size_t at = 2; at < whole.size(); at += 1 + whole.size() / 200) {
      Bytes bytes = whole;
      bytes[at] ^= 0x5a;
      refused += refusal(bytes).empty() ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(ReadImage, NamesTheFileThatCannotBeRead) {
  EXPECT_THAT(message_of([] { read_image("/nowhere/a.jpg", 3); }),
              AllOf(HasSubstr("/nowhere/a.jpg"), HasSubstr("cannot be read")));
  const ScratchFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe.jpg").c_str(), 0600), 0);
  prefetch_file(folder / "pipe.jpg");
  for (const std::string& file : {folder.path().string(), folder / "pipe.jpg"})
    EXPECT_THAT(message_of([&] { read_image(file, 3); }),
                AllOf(HasSubstr(file), HasSubstr("not a regular file")));
}

TEST(ImageFile, IsReadWhole) {
  const ScratchFolder folder;
  Bytes bytes(300'000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  write_file(folder / "large", bytes);
  write_file(folder / "empty", {});
  prefetch_file(folder / "large");
  prefetch_file(folder / "missing");  // shows when it is read
  EXPECT_EQ(read_image_file(folder / "large"), bytes);
  EXPECT_TRUE(read_image_file(folder / "empty").empty());
}

TEST(ImageFile, CountsNoWaitForWhatIsInMemory) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no file system in memory";
  const std::filesystem::path file = "/dev/shm/millrace-image-test-" + std::to_string(::getpid());
  write_file(file, Bytes(100'000, 3));
  const DiskWaits before = disk_waits_of_this_thread();
  EXPECT_EQ(read_image_file(file.string()).size(), 100'000U);
  EXPECT_EQ(disk_waits_of_this_thread().count, before.count);
  std::filesystem::remove(file);
}

TEST(ReadImage, GoesByTheContentNotTheName) {
  const ScratchFolder folder;
  write_file(folder / "a.jpg", png_bytes(flat_image(4, 4, 1, 2, 3)));
  EXPECT_EQ(read_image(folder / "a.jpg", 3).pixels[2], 3);
}

}  // namespace
}  // namespace millrace
