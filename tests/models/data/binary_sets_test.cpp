// CIFAR-10 and MNIST.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "models/data/dataset.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace millrace::testing;

/// Red is the record's number, green 100 + column, blue 200 + row.
Bytes cifar_records(const std::vector<int>& labels) {
  Bytes bytes;
  for (std::size_t record = 0; record < labels.size(); ++record) {
    bytes.push_back(static_cast<std::uint8_t>(labels[record]));
    for (int plane = 0; plane < 3; ++plane) {
      for (int i = 0; i < 1024; ++i) {
        const int value = plane == 0   ? static_cast<int>(record)
                          : plane == 1 ? 100 + i % 32
                                       : 200 + i / 32;
        bytes.push_back(static_cast<std::uint8_t>(value));
      }
    }
  }
  return bytes;
}

std::string refusal(const fs::path& path) {
  return message_of([&] { open_data({path.string(), 0, 1, false}); });
}

TEST(Cifar10, ReadsRecordsOfAllBatches) {
  const ScratchFolder folder;
  write_file(folder / "data_batch_1.bin", cifar_records({3, 9}));
  write_file(folder / "data_batch_2.bin", cifar_records({0}));
  write_file(folder / "test_batch.bin", cifar_records({5}));
  const DataSplit split = open_data({folder.path().string()});
  EXPECT_EQ(split.kind, "CIFAR-10");
  ASSERT_EQ(split.train->size(), 3);
  ASSERT_EQ(split.validation->size(), 1);
  EXPECT_EQ(split.train->label(1), 9);
  EXPECT_EQ(split.train->class_names().at(9), "truck");
  EXPECT_THAT(split.train->sample_name(1), HasSubstr("data_batch_1.bin record 1"));
  const Image image = split.train->decode(1, 3, {});
  EXPECT_EQ(image.width, 32);
  EXPECT_EQ(image.pixels.at(0), 1);                       // record 1, red
  EXPECT_EQ(image.pixels.at((7 * 32 + 5) * 3 + 1), 105);  // column 5, green
  EXPECT_EQ(image.pixels.at((7 * 32 + 5) * 3 + 2), 207);  // row 7, blue
  EXPECT_NEAR(split.train->decode(1, 1, {}).pixels.at(0), 0.299 * 1 + 0.587 * 100 + 0.114 * 200, 1);
  EXPECT_FLOAT_EQ(normalisation_of(*split.train, 3).mean[0], 0.4914f);
}

TEST(Cifar10, IsFoundInItsUnpackedFolderWithItsOwnNames) {
  const ScratchFolder folder;
  const std::string names = "n0\nn1\nn2\nn3\nn4\nn5\nn6\nn7\nn8\nn9\n\n";
  write_file(folder / "cifar-10-batches-bin/data_batch_1.bin", cifar_records({1, 2, 3, 4}));
  write_file(folder / "cifar-10-batches-bin/batches.meta.txt", Bytes(names.begin(), names.end()));
  const DataSplit split = open_data({folder.path().string(), 0, 1, false});
  EXPECT_EQ(split.train->class_names().at(2), "n2");
  EXPECT_EQ(split.validation, nullptr);
}

TEST(Cifar10, WithoutTestBatchIsSplit) {
  const ScratchFolder folder;
  write_file(folder / "data_batch_1.bin", cifar_records({1, 1, 1, 1, 2, 2, 2, 2}));
  const DataSplit split = open_data({folder.path().string(), 0.25, 1, false});
  EXPECT_EQ(split.train->size(), 6);
  EXPECT_EQ(split.validation->size(), 2);
}

TEST(Cifar10, RefusesAFileCutShort) {
  const ScratchFolder folder;
  Bytes bytes = cifar_records({1, 2});
  bytes.pop_back();
  write_file(folder / "data_batch_1.bin", bytes);
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr("data_batch_1.bin"), HasSubstr("6145 bytes"), HasSubstr("3073")));
  write_file(folder / "data_batch_1.bin", {});
  EXPECT_THAT(refusal(folder.path()), HasSubstr("0 bytes"));
}

TEST(Cifar10, NamesALabelOutOfRangeOrLeavesItOut) {
  const ScratchFolder folder;
  write_file(folder / "data_batch_1.bin", cifar_records({1, 10, 2}));
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr("record 1"), HasSubstr("label 10"), HasSubstr("0 to 9")));
  const DataSplit split = open_data({folder.path().string(), 0, 1, true});
  ASSERT_EQ(split.train->size(), 2);
  EXPECT_EQ(split.train->decode(1, 3, {}).pixels[0], 2);
}

void append_number(Bytes& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(value >> shift & 0xff);
}

/// `count` images of 3 x 2; pixel = 10 * image + position.
Bytes idx_images(std::uint32_t count) {
  Bytes bytes;
  for (const std::uint32_t value : {0x803u, count, 2u, 3u}) append_number(bytes, value);
  for (std::uint32_t i = 0; i < count * 6; ++i) bytes.push_back((10 * (i / 6) + i % 6) & 0xff);
  return bytes;
}

Bytes idx_labels(const std::vector<int>& labels) {
  Bytes bytes;
  append_number(bytes, 0x801);
  append_number(bytes, static_cast<std::uint32_t>(labels.size()));
  for (const int label : labels) bytes.push_back(static_cast<std::uint8_t>(label));
  return bytes;
}

void write_gzip(const std::string& path, const Bytes& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
            static_cast<int>(bytes.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

TEST(Mnist, ReadsPlainAndGzipFiles) {
  const ScratchFolder folder;
  write_file(folder / "train-images-idx3-ubyte", idx_images(3));
  write_file(folder / "train-labels.idx1-ubyte", idx_labels({7, 0, 9}));
  write_gzip(folder / "t10k-images-idx3-ubyte.gz", idx_images(1));
  write_gzip(folder / "t10k-labels-idx1-ubyte.gz", idx_labels({4}));
  const DataSplit split = open_data({folder.path().string()});
  EXPECT_EQ(split.kind, "MNIST");
  ASSERT_EQ(split.train->size(), 3);
  ASSERT_EQ(split.validation->size(), 1);
  EXPECT_EQ(split.train->label(2), 9);
  EXPECT_EQ(split.validation->label(0), 4);
  EXPECT_EQ(split.train->class_names().at(7), "7");
  const Image image = split.train->decode(2, 1, {});
  EXPECT_EQ(image.width, 3);
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.pixels, (Bytes{20, 21, 22, 23, 24, 25}));
  EXPECT_EQ(split.train->decode(2, 3, {}).pixels.at(5), 21);
  EXPECT_FALSE(split.train->may_mirror());
  EXPECT_FLOAT_EQ(normalisation_of(*split.train, 1).mean[0], 0.1307f);
}

class BadMnist : public ::testing::Test {
 protected:
  std::string refusal_of(const Bytes& images, const Bytes& labels) const {
    write_file(folder_ / "train-images-idx3-ubyte", images);
    write_file(folder_ / "train-labels-idx1-ubyte", labels);
    return refusal(folder_.path());
  }

  const ScratchFolder folder_;
};

TEST_F(BadMnist, CutShort) {
  Bytes images = idx_images(2);
  images.pop_back();
  EXPECT_THAT(refusal_of(images, idx_labels({1, 2})),
              AllOf(HasSubstr("train-images"), HasSubstr("cut short")));
  EXPECT_THAT(refusal_of({}, idx_labels({1, 2})), HasSubstr("cut short"));
}

TEST_F(BadMnist, GzipCutShort) {
  write_gzip(folder_ / "train-images-idx3-ubyte.gz", idx_images(200));
  fs::resize_file(folder_ / "train-images-idx3-ubyte.gz", 100);
  write_file(folder_ / "train-labels-idx1-ubyte", idx_labels({1}));
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("cut short or damaged"));
}

TEST_F(BadMnist, OfAnotherKind) {
  EXPECT_THAT(refusal_of(idx_labels({1, 2}), idx_labels({1, 2})),
              AllOf(HasSubstr("begins with 2049"), HasSubstr("2051")));
}

TEST_F(BadMnist, AnnouncingTooMuch) {
  Bytes images;
  for (const std::uint32_t value : {0x803u, 0xffffffffu, 28u, 28u}) append_number(images, value);
  EXPECT_THAT(refusal_of(images, idx_labels({1})), HasSubstr("header is damaged"));
}

/// Ends at once where memory is taken for what is there: 4 GiB are announced, 2 MiB are there.
TEST_F(BadMnist, AnnouncingMoreThanItHas) {
  Bytes images;
  for (const std::uint32_t value : {0x803u, 0x1'0000u, 0x100u, 0x100u})
    append_number(images, value);
  images.resize(std::size_t{2} << 20);
  EXPECT_THAT(refusal_of(images, idx_labels({1})),
              AllOf(HasSubstr("cut short"), HasSubstr("4294967296 bytes")));
}

TEST_F(BadMnist, LabelsThatDoNotFit) {
  EXPECT_THAT(refusal_of(idx_images(2), idx_labels({1, 2, 3})),
              AllOf(HasSubstr("3 labels"), HasSubstr("2 images")));
  EXPECT_THAT(refusal_of(idx_images(2), idx_labels({1, 10})),
              AllOf(HasSubstr("label 1 is 10"), HasSubstr("0 to 9")));
  EXPECT_EQ(open_data({folder_.path().string(), 0, 1, true}).train->size(), 1);
}

TEST_F(BadMnist, WithoutLabels) {
  write_file(folder_ / "train-images-idx3-ubyte", idx_images(2));
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("train-labels-idx1-ubyte"));
}

}  // namespace
}  // namespace millrace
