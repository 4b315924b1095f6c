#include "models/data/augment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "models/data/draws.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using namespace millrace::testing;

SampleFormat format(int channels, int height, int width) {
  const auto count = static_cast<std::size_t>(channels);
  return {channels, height, width, {std::vector<float>(count, 0), std::vector<float>(count, 1)}};
}

std::vector<float> render(const Image& image, const Crop& crop, const SampleFormat& target) {
  std::vector<float> output(
      static_cast<std::size_t>(target.channels * target.height * target.width), NAN);
  render_sample(image, crop, target, output.data());
  return output;
}

TEST(Draws, DependOnEveryPartOfTheKey) {
  std::set<std::uint64_t> values;
  for (std::uint64_t a : {0, 1}) {
    for (std::uint64_t b : {0, 1}) {
      for (std::uint64_t c : {0, 1}) values.insert(Draws{a, b, c}.next());
    }
  }
  EXPECT_EQ(values.size(), 8u);
  EXPECT_EQ((Draws{3, 4}.next()), (Draws{3, 4}.next()));
}

TEST(Draws, AreUniform) {
  Draws draws{7};
  std::vector<int> counts(10);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    ++counts.at(draws.below(10));
    sum += draws.uniform();
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

TEST(SampleFormat, FollowsTheModelsShape) {
  const SampleFormat target = sample_format({1, 28, 32}, {{0}, {1}});
  EXPECT_EQ(target.channels, 1);
  EXPECT_EQ(target.height, 28);
  EXPECT_EQ(target.width, 32);
  EXPECT_THAT(message_of([] { sample_format({784}, {}); }), HasSubstr("784"));
  EXPECT_THAT(message_of([] { sample_format({2, 8, 8}, {}); }), HasSubstr("2 x 8 x 8"));
}

TEST(ResizedCrop, StaysInsideAndKeepsItsRanges) {
  const SampleFormat target = format(3, 224, 224);
  const Augmentation augmentation{CropKind::resized, 0.25, 0, true};
  int mirrored = 0;
  std::set<double> widths;
  for (std::int64_t i = 0; i < 500; ++i) {
    const Crop crop = draw_crop(augmentation, target, {1, 0, i}, 500, 375);
    ASSERT_GE(crop.x, 0);
    ASSERT_GE(crop.y, 0);
    ASSERT_LE(crop.x + crop.width, 500);
    ASSERT_LE(crop.y + crop.height, 375);
    ASSERT_GE(crop.width * crop.height, 0.24 * 500 * 375);
    ASSERT_GE(crop.width / crop.height, 0.74);
    ASSERT_LE(crop.width / crop.height, 1.35);
    mirrored += crop.mirrored ? 1 : 0;
    widths.insert(crop.width);
  }
  EXPECT_NEAR(mirrored, 250, 60);
  EXPECT_GT(widths.size(), 100u);
}

TEST(ResizedCrop, OfAShapeThatNothingFitsIsTheMiddle) {
  const Crop crop =
      draw_crop({CropKind::resized, 0.9, 0, false}, format(3, 224, 224), {1, 0, 0}, 20'000, 10);
  EXPECT_EQ(crop, (Crop{9995, 0, 10, 10, false}));
}

TEST(PaddedCrop, MovesByWholePixelsWithinThePadding) {
  const SampleFormat target = format(3, 32, 32);
  std::set<double> xs, ys;
  for (std::int64_t i = 0; i < 500; ++i) {
    const Crop crop = draw_crop({CropKind::padded, 0, 4, false}, target, {1, 0, i}, 32, 32);
    ASSERT_EQ(crop.width, 32);
    ASSERT_FALSE(crop.mirrored);
    xs.insert(crop.x);
    ys.insert(crop.y);
  }
  const std::set<double> all = {-4, -3, -2, -1, 0, 1, 2, 3, 4};
  EXPECT_EQ(xs, all);
  EXPECT_EQ(ys, all);
}

TEST(PaddedCrop, OfALargerImageResizesIt) {
  const Crop crop =
      draw_crop({CropKind::padded, 0, 0, false}, format(3, 32, 32), {1, 0, 0}, 128, 64);
  EXPECT_EQ(crop.width, 64);
  EXPECT_EQ(crop.y, 0);
  EXPECT_GE(crop.x, 0);
  EXPECT_LE(crop.x, 64);
}

TEST(DrawCrop, DependsOnSeedEpochAndIndexAlone) {
  const SampleFormat target = format(3, 224, 224);
  const Augmentation augmentation;
  const auto draw = [&](const SampleKey& key) {
    return draw_crop(augmentation, target, key, 500, 375);
  };
  EXPECT_EQ(draw({1, 2, 3}), draw({1, 2, 3}));
  EXPECT_FALSE(draw({1, 2, 3}) == draw({2, 2, 3}));
  EXPECT_FALSE(draw({1, 2, 3}) == draw({1, 3, 3}));
  EXPECT_FALSE(draw({1, 2, 3}) == draw({1, 2, 4}));
}

TEST(CentreCrop, IsSevenEighthsOfAPhotoAndAllOfASmallImage) {
  EXPECT_EQ(centre_crop(format(3, 224, 224), 512, 256), (Crop{144, 16, 224, 224, false}));
  EXPECT_EQ(centre_crop(format(3, 32, 32), 32, 32), (Crop{0, 0, 32, 32, false}));
  EXPECT_EQ(centre_crop(format(3, 32, 32), 128, 64), (Crop{32, 0, 64, 64, false}));
}

TEST(ShrinkLimit, KeepsTheTargetsPixels) {
  const SampleFormat target = format(3, 224, 224);
  EXPECT_EQ(shrink_limit({0, 0, 448, 448, false}, target), 0.5);
  EXPECT_EQ(shrink_limit({0, 0, 448, 300, false}, target), 224.0 / 300);
  EXPECT_EQ(shrink_limit({0, 0, 100, 100, false}, target), 1);
}

TEST(RenderSample, CopiesACropOfItsOwnSizeExactly) {
  const Image image = make_image(9, 7, 3, [](int x, int y, int c) { return 100 * c + 10 * y + x; });
  SampleFormat target = format(3, 4, 5);
  target.normalisation = {{0.5f, 0.25f, 0}, {0.5f, 1, 2}};
  const auto output = render(image, {2, 1, 5, 4, false}, target);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 4; ++y) {
      for (int x = 0; x < 5; ++x) {
        const float pixel = static_cast<float>(100 * c + 10 * (y + 1) + x + 2) / 255;
        const auto channel = static_cast<std::size_t>(c);
        const float expected =
            (pixel - target.normalisation.mean[channel]) / target.normalisation.deviation[channel];
        ASSERT_NEAR(output[static_cast<std::size_t>((c * 4 + y) * 5 + x)], expected, 1e-6);
      }
    }
  }
}

TEST(RenderSample, Mirrors) {
  const Image image = make_image(4, 1, 1, [](int x, int, int) { return 51 * x; });
  const auto output = render(image, {0, 0, 4, 1, true}, format(1, 1, 4));
  EXPECT_THAT(output, ::testing::Pointwise(::testing::FloatNear(1e-6f), {0.6f, 0.4f, 0.2f, 0.0f}));
}

TEST(RenderSample, IsBlackOutsideTheImage) {
  const Image image = make_image(2, 2, 1, [](int, int, int) { return 255; });
  SampleFormat target = format(1, 4, 4);
  target.normalisation = {{0.5f}, {0.5f}};  // black is -1, white 1
  const auto output = render(image, {-1, -2, 4, 4, false}, target);
  EXPECT_THAT(output,
              ::testing::ElementsAre(-1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 1, -1, -1, 1, 1, -1));
}

TEST(RenderSample, AveragesWhatItShrinks) {
  // A one-pixel checkerboard: without a filter as wide as the output pixel it would alias.
  const Image image = make_image(64, 64, 1, [](int x, int y, int) { return (x + y) % 2 * 255; });
  for (const float value : render(image, {0, 0, 64, 64, false}, format(1, 8, 8))) {
    ASSERT_NEAR(value, 0.5, 0.01);
  }
}

TEST(RenderSample, InterpolatesWhatItEnlarges) {
  const Image image = make_image(2, 1, 1, [](int x, int, int) { return 200 * x; });
  const auto output = render(image, {0, 0, 2, 1, false}, format(1, 1, 4));
  // Centres of the output lie at 0.25, 0.75, 1.25, 1.75; those of the input at 0.5 and 1.5.
  EXPECT_THAT(output, ::testing::Pointwise(::testing::FloatNear(1e-6f),
                                           {0.0f, 50 / 255.0f, 150 / 255.0f, 200 / 255.0f}));
}

TEST(RenderSample, GivesTheSameFromAShrunkDecode) {
  const Image full = gradient_image(400, 240);
  Image half = gradient_image(200, 120);
  half.full_width = 400;
  half.full_height = 240;
  const Crop crop{40, 20, 320, 200, false};
  const auto a = render(full, crop, format(3, 50, 80)), b = render(half, crop, format(3, 50, 80));
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 0.01) << i;
}

TEST(RenderSample, OfOnePixelIsFlat) {
  const auto output =
      render(flat_image(1, 1, 51, 102, 153), centre_crop(format(3, 8, 8), 1, 1), format(3, 8, 8));
  for (std::size_t i = 0; i < 64; ++i) ASSERT_NEAR(output[i], 0.2, 1e-6);
}

}  // namespace
}  // namespace millrace
