#include "models/data/image_samples.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "models/data/dataset.hpp"
#include "tests/models/data/fake_dataset.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;

SampleFormat photo(int side) { return {3, side, side, {{0, 0, 0}, {1, 1, 1}}}; }
constexpr SampleKey kFirst{1, 0, 0};

std::vector<float> sample(const std::shared_ptr<const Dataset>& set, const SampleFormat& format,
                          const SampleKey& key, bool training = true) {
  const ImageSamples samples(set, format, Augmentation{});
  std::vector<float> output(static_cast<std::size_t>(samples.layout().input_bytes()) / 4);
  std::int64_t label = -1;
  samples.fill(key, training, output.data(), &label);
  EXPECT_EQ(label, set->label(key.index));
  return output;
}

/// The same pictures as JPEG, which decoding can shrink, and as PNG, which it cannot.
class Photos : public ::testing::Test {
 protected:
  Photos() {
    const Image image = make_image(500, 375, 3, [](int x, int y, int c) {
      return static_cast<int>(128 + 50 * std::sin(x / (20.0 + c)) + 50 * std::cos(y / 30.0));
    });
    write_file(folder_ / "a/0.jpg", jpeg_bytes(image));
    write_file(folder_ / "b/0.png", png_bytes(image));
    set_ = open_data({folder_.path().string(), 0, 1, false}).train;
  }

  const ScratchFolder folder_;
  std::shared_ptr<const Dataset> set_;
};

TEST_F(Photos, ShrunkDecodingChangesNextToNothing) {
  // The draws differ by index, so both are seen through the middle crop.
  const auto shrunk = sample(set_, photo(96), {1, 0, 0}, false);
  const auto whole = sample(set_, photo(96), {1, 0, 1}, false);
  double worst = 0;
  for (std::size_t i = 0; i < shrunk.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(shrunk[i] - whole[i])));
  }
  EXPECT_LT(worst, 0.06);
}

TEST_F(Photos, SampleFollowsFromSeedEpochAndIndex) {
  const auto first = sample(set_, photo(64), kFirst);
  EXPECT_EQ(first, sample(set_, photo(64), kFirst));
  EXPECT_NE(first, sample(set_, photo(64), {1, 1, 0}));
  EXPECT_NE(first, sample(set_, photo(64), {2, 0, 0}));
}

TEST_F(Photos, ManyThreadsDecodeTheSame) {
  std::vector<std::vector<float>> expected, found(24);
  for (std::int64_t i = 0; i < 24; ++i) expected.push_back(sample(set_, photo(64), {1, i, i % 2}));
  std::vector<std::thread> threads;
  for (std::int64_t first = 0; first < 4; ++first) {
    threads.emplace_back([&, first] {
      for (std::int64_t i = first; i < 24; i += 4) {
        found[static_cast<std::size_t>(i)] = sample(set_, photo(64), {1, i, i % 2});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(found, expected);
}

const SampleFormat kGrey{1, 8, 8, {{0}, {1}}};

TEST(ImageSamples, AskForTheModelsChannels) {
  EXPECT_NEAR(sample(std::make_shared<FakeDataset>(4), kGrey, {1, 0, 3}, false)[10], 3 / 255.0,
              1e-6);
}

TEST(ImageSamples, ThrowWhatTheSetThrows) {
  const auto set = std::make_shared<FakeDataset>(4, std::set<std::int64_t>{2});
  EXPECT_THROW(sample(set, kGrey, {1, 0, 2}), ConfigError);
}

}  // namespace
}  // namespace millrace
