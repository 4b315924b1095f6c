#include "models/data/sample.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "models/data/dataset.hpp"
#include "tests/models/data/fake_dataset.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;

LoaderSettings photo_settings(int side) {
  LoaderSettings settings;
  settings.format = {3, side, side, {{0, 0, 0}, {1, 1, 1}}};
  settings.augmentation = Augmentation{};
  return settings;
}

std::vector<float> sample(const Dataset& dataset, const LoaderSettings& settings,
                          std::int64_t epoch, std::int64_t index) {
  const auto& format = settings.format;
  std::vector<float> output(
      static_cast<std::size_t>(format.channels * format.height * format.width));
  decode_sample(dataset, settings, epoch, index, output.data());
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
  LoaderSettings middle = photo_settings(96);
  middle.augmentation.reset();
  const auto shrunk = sample(*set_, middle, 0, 0), whole = sample(*set_, middle, 0, 1);
  double worst = 0;
  for (std::size_t i = 0; i < shrunk.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(shrunk[i] - whole[i])));
  }
  EXPECT_LT(worst, 0.06);
}

TEST_F(Photos, SampleFollowsFromSeedEpochAndIndex) {
  LoaderSettings settings = photo_settings(64), other = settings;
  other.seed = 2;
  const auto first = sample(*set_, settings, 0, 0);
  EXPECT_EQ(first, sample(*set_, settings, 0, 0));
  EXPECT_NE(first, sample(*set_, settings, 1, 0));
  EXPECT_NE(first, sample(*set_, other, 0, 0));
}

TEST_F(Photos, ManyThreadsDecodeTheSame) {
  const LoaderSettings settings = photo_settings(64);
  std::vector<std::vector<float>> expected, found(24);
  for (std::int64_t i = 0; i < 24; ++i) expected.push_back(sample(*set_, settings, i, i % 2));
  std::vector<std::thread> threads;
  for (std::int64_t first = 0; first < 4; ++first) {
    threads.emplace_back([&, first] {
      for (std::int64_t i = first; i < 24; i += 4) {
        found[static_cast<std::size_t>(i)] = sample(*set_, settings, i, i % 2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(found, expected);
}

TEST(DecodeSample, IsAskedForTheModelsChannels) {
  const FakeDataset set(4);
  LoaderSettings settings;
  settings.format = {1, 8, 8, {{0}, {1}}};
  EXPECT_NEAR(sample(set, settings, 0, 3)[10], 3 / 255.0, 1e-6);
}

TEST(DecodeSample, ThrowsWhatTheSetThrows) {
  const FakeDataset set(4, {2});
  LoaderSettings settings;
  settings.format = {1, 8, 8, {{0}, {1}}};
  EXPECT_THROW(sample(set, settings, 0, 2), ConfigError);
}

}  // namespace
}  // namespace millrace
