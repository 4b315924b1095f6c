// The parts that generated pictures are made of.

#include "models/data/scenes/painters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace millrace::scenes {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

bool equal(const Colour& a, const Colour& b) {
  return a.red == b.red && a.green == b.green && a.blue == b.blue;
}

Canvas filled(int width, int height, const Colour& colour) {
  Canvas canvas(width, height);
  canvas.paint_all([&](float, float) { return Ink{colour, 1}; });
  return canvas;
}

int painted_pixels(const Canvas& canvas) {
  int count = 0;
  for (int y = 0; y < canvas.height(); ++y) {
    for (int x = 0; x < canvas.width(); ++x) count += luminance(canvas.at(x, y)) > 0.5f ? 1 : 0;
  }
  return count;
}

TEST(FloorOf, RoundsDownOnBothSidesOfZero) {
  EXPECT_EQ(floor_of(2.7f), 2);
  EXPECT_EQ(floor_of(2.0f), 2);
  EXPECT_EQ(floor_of(0.0f), 0);
  EXPECT_EQ(floor_of(-0.1f), -1);
  EXPECT_EQ(floor_of(-2.0f), -2);
}

TEST(Colour, MixesByParts) {
  const Colour mixed = mix({0, 0.5f, 1}, {1, 0.5f, 0}, 0.25f);
  EXPECT_FLOAT_EQ(mixed.red, 0.25f);
  EXPECT_FLOAT_EQ(mixed.green, 0.5f);
  EXPECT_FLOAT_EQ(mixed.blue, 0.75f);
  EXPECT_FLOAT_EQ(luminance({1, 1, 1}), 1);
}

TEST(RandomColour, IsNeitherBlackNorPureAndOfEveryHue) {
  Draws draws{1};
  std::set<int> strongest;
  for (int i = 0; i < 200; ++i) {
    const Colour colour = random_colour(draws);
    const std::vector<float> channels = {colour.red, colour.green, colour.blue};
    const auto largest = std::max_element(channels.begin(), channels.end());
    const float smallest = *std::min_element(channels.begin(), channels.end());
    EXPECT_THAT(*largest, AllOf(Ge(0.15f), Le(0.95f)));
    EXPECT_GT(smallest, 0);
    strongest.insert(static_cast<int>(largest - channels.begin()));
  }
  EXPECT_EQ(strongest.size(), 3u);
}

TEST(ContrastingColour, DiffersWhereItCan) {
  Draws draws{1};
  int close = 0;
  for (int i = 0; i < 100; ++i) {
    const Colour back = random_colour(draws);
    const Colour front = contrasting_colour(draws, {back});
    close += std::abs(luminance(front) - luminance(back)) < 0.3f ? 1 : 0;
  }
  EXPECT_LE(close, 10);
}

TEST(Mood, BelongsToItsDraws) {
  Draws one{4, 2}, same{4, 2}, other{4, 3};
  const Mood a = make_mood(one), b = make_mood(same), c = make_mood(other);
  EXPECT_TRUE(equal(a.back, b.back));
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_FALSE(equal(a.back, c.back));
  EXPECT_NEAR(a.light_x * a.light_x + a.light_y * a.light_y, 1, 1e-5);
  EXPECT_THAT(a.scale, AllOf(Ge(0.7f), Le(1.4f)));
}

TEST(Capsule, HasTheAreaOfARoundEndedLine) {
  Canvas canvas(100, 60);
  canvas.paint_capsule(20, 30, 5, 80, 30, 5, {1, 1, 1});
  EXPECT_NEAR(painted_pixels(canvas), 60 * 10 + 3.14159 * 25, 25);
}

TEST(Capsule, OfNoLengthIsADisc) {
  Canvas canvas(60, 60);
  canvas.paint_capsule(30, 30, 10, 30, 30, 10, {1, 1, 1});
  EXPECT_NEAR(painted_pixels(canvas), 3.14159 * 100, 15);
}

TEST(Clutter, CoversLittle) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Canvas canvas = filled(500, 375, {-1, -1, -1});  // a colour that clutter never has
    Draws draws{seed};
    paint_clutter(canvas, draws);
    int covered = 0;
    for (int y = 0; y < 375; ++y) {
      for (int x = 0; x < 500; ++x) covered += canvas.at(x, y).red > -1 ? 1 : 0;
    }
    EXPECT_GT(covered, 0);
    EXPECT_LT(covered, 500 * 375 / 5);
  }
}

TEST(Develop, AddsGrainAndLight) {
  Draws draws{3};
  const Image image = develop(filled(200, 150, {0.5f, 0.5f, 0.5f}), draws);
  ASSERT_EQ(image.pixels.size(), 200u * 150 * 3);
  EXPECT_EQ(image.full_width, 200);
  const auto [darkest, brightest] = std::minmax_element(image.pixels.begin(), image.pixels.end());
  EXPECT_GT(*brightest, *darkest);
}

class EveryScene : public ::testing::TestWithParam<std::size_t> {};

/// Pixels that a painter changes against the plain background of the same draws, or all of them
/// where it paints no background.
double changed_share(std::size_t label, std::uint64_t seed) {
  Canvas picture(200, 150), background(200, 150);
  Draws one{seed}, two{seed};
  const Mood mood = make_mood(one), same = make_mood(two);
  all()[label].painter(picture, mood, one);
  paint_background(background, same, two);
  int changed = 0;
  for (int y = 0; y < 150; ++y) {
    for (int x = 0; x < 200; ++x) changed += equal(picture.at(x, y), background.at(x, y)) ? 0 : 1;
  }
  return changed / (200.0 * 150);
}

TEST_P(EveryScene, ShowsSomething) {
  double least = 1, sum = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const double share = changed_share(GetParam(), seed);
    least = std::min(least, share);
    sum += share;
  }
  EXPECT_GT(least, 0.002) << "no picture may be background alone";
  EXPECT_GT(sum / 20, 0.1);
}

TEST_P(EveryScene, HasFiniteColours) {
  for (std::uint64_t seed = 100; seed < 105; ++seed) {
    Canvas picture(120, 160);
    Draws draws{seed};
    const Mood mood = make_mood(draws);
    all()[GetParam()].painter(picture, mood, draws);
    for (int y = 0; y < 160; ++y) {
      for (int x = 0; x < 120; ++x) ASSERT_TRUE(std::isfinite(luminance(picture.at(x, y))));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Classes, EveryScene, ::testing::Range<std::size_t>(0, 10),
                         [](const auto& each) { return all()[each.param].name; });

TEST(Paint, GivesLyingAndUprightPictures) {
  int upright = 0;
  for (std::int64_t number = 0; number < 12; ++number) {
    const Image image = paint(8, number, 1);
    const int longer = std::max(image.width, image.height);
    EXPECT_THAT(longer, AllOf(Ge(440), Le(560)));
    EXPECT_EQ(std::min(image.width, image.height), longer * 3 / 4);
    upright += image.height > image.width ? 1 : 0;
  }
  EXPECT_GT(upright, 0);
  EXPECT_LT(upright, 8);
}

}  // namespace
}  // namespace millrace::scenes
