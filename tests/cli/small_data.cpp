#include "tests/cli/small_data.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "models/data/image.hpp"

namespace millrace::cli {
namespace {

constexpr int kSide = 28, kClasses = 10;

std::vector<std::uint8_t> digit(int label, std::minstd_rand& random) {
  std::vector<std::uint8_t> pixels(kSide * kSide);
  for (auto& pixel : pixels) pixel = static_cast<std::uint8_t>(random() % 60);
  const int top = 3 + 11 * (label / 5), left = 2 + 5 * (label % 5);
  for (int y = top; y < top + 11; ++y) {
    for (int x = left; x < left + 4; ++x) pixels[static_cast<std::size_t>(y * kSide + x)] = 230;
  }
  return pixels;
}

void put_number(std::ostream& stream, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) stream.put(static_cast<char>(value >> shift));
}

void write_part(const std::filesystem::path& folder, const std::string& name, int count) {
  std::minstd_rand random(static_cast<unsigned>(count));
  std::ofstream images(folder / (name + "-images-idx3-ubyte"), std::ios::binary);
  std::ofstream labels(folder / (name + "-labels-idx1-ubyte"), std::ios::binary);
  put_number(images, 2051);
  put_number(labels, 2049);
  for (std::ofstream* stream : {&images, &labels})
    put_number(*stream, static_cast<std::uint32_t>(count));
  put_number(images, kSide);
  put_number(images, kSide);
  for (int i = 0; i < count; ++i) {
    const auto pixels = digit(i % kClasses, random);
    images.write(reinterpret_cast<const char*>(pixels.data()),
                 static_cast<std::streamsize>(pixels.size()));
    labels.put(static_cast<char>(i % kClasses));
  }
}

}  // namespace

void write_digits(const std::string& folder, int train, int test) {
  std::filesystem::create_directories(folder);
  write_part(folder, "train", train);
  write_part(folder, "t10k", test);
}

void write_digit_jpeg(const std::string& file, int label) {
  std::minstd_rand random(1);
  const Image image{kSide, kSide, 1, kSide, kSide, digit(label, random)};
  const auto bytes = encode_jpeg(image, 95);
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

}  // namespace millrace::cli
