// What every picture has, whatever it shows: mood, background, clutter, light and camera.

#include <numbers>

#include "models/data/scenes/painters.hpp"

namespace millrace::scenes {
namespace {

float uniform(Draws& draws, double low, double high) {
  return static_cast<float>(draws.uniform(low, high));
}

void paint_bar(Canvas& canvas, Draws& draws, float x, float y, float size) {
  const Colour colour = random_colour(draws);
  const float turn = uniform(draws, 0, std::numbers::pi), c = std::cos(turn), s = std::sin(turn);
  const float half_width = size, half_height = size * uniform(draws, 0.3, 1);
  canvas.paint(x - 2 * size, y - 2 * size, x + 2 * size, y + 2 * size, [&](float px, float py) {
    const float u = c * (px - x) + s * (py - y), v = c * (py - y) - s * (px - x);
    return Ink{colour, coverage(half_width - std::abs(u)) * coverage(half_height - std::abs(v))};
  });
}

void paint_stroke(Canvas& canvas, Draws& draws, float x, float y) {
  const Colour colour = random_colour(draws);
  const float turn = uniform(draws, 0, 2 * std::numbers::pi);
  const float length = canvas.side() * uniform(draws, 0.1, 0.4);
  const float radius = uniform(draws, 0.7, 2.5);
  canvas.paint_capsule(x, y, radius, x + length * std::cos(turn), y + length * std::sin(turn),
                       radius, colour);
}

/// The light that falls on a pixel: a slope across the picture and darker corners.
struct Light {
  float exposure, slope_x, slope_y, corners;
  Colour cast;

  explicit Light(Draws& draws)
      : exposure(uniform(draws, 0.65, 1.2)),
        slope_x(uniform(draws, -0.35, 0.35)),
        slope_y(uniform(draws, -0.35, 0.35)),
        corners(uniform(draws, 0, 0.5)),
        cast{uniform(draws, 0.85, 1.15), uniform(draws, 0.85, 1.15), uniform(draws, 0.85, 1.15)} {}

  /// u, v in -1/2..1/2.
  float at(float u, float v) const {
    return exposure * (1 + slope_x * u + slope_y * v) * (1 - corners * 2 * (u * u + v * v));
  }
};

Canvas lit(const Canvas& canvas, const Light& light) {
  Canvas result(canvas.width(), canvas.height());
  const float width = static_cast<float>(canvas.width()),
              height = static_cast<float>(canvas.height());
  result.paint_all([&](float x, float y) {
    const Colour& in = canvas.at(static_cast<int>(x), static_cast<int>(y));
    const float strength = light.at(x / width - 0.5f, y / height - 0.5f);
    return Ink{{in.red * light.cast.red * strength, in.green * light.cast.green * strength,
                in.blue * light.cast.blue * strength},
               1};
  });
  return result;
}

/// Mean of a pixel and its four neighbours.
Canvas blurred(const Canvas& canvas) {
  Canvas result(canvas.width(), canvas.height());
  const int right = canvas.width() - 1, bottom = canvas.height() - 1;
  for (int y = 0; y <= bottom; ++y) {
    for (int x = 0; x <= right; ++x) {
      result.at(x, y) = (canvas.at(x, y) + canvas.at(std::max(x - 1, 0), y) +
                         canvas.at(std::min(x + 1, right), y) + canvas.at(x, std::max(y - 1, 0)) +
                         canvas.at(x, std::min(y + 1, bottom))) *
                        0.2f;
    }
  }
  return result;
}

/// Near-normal grain for three channels from one draw: the sum of two uniform parts each.
struct Grain {
  float strength;

  Colour operator()(Draws& draws) const {
    const std::uint64_t bits = draws.next();
    const auto part = [&](int shift) {
      const auto sum = static_cast<float>((bits >> shift & 0x3ff) + (bits >> (shift + 10) & 0x3ff));
      return (sum / 1023 - 1) * strength;
    };
    return {part(0), part(20), part(40)};
  }
};

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(std::clamp(value, 0.0f, 1.0f) * 255 + 0.5f);
}

}  // namespace

Mood make_mood(Draws& draws) {
  Mood mood;
  mood.back = random_colour(draws);
  mood.other_back = mix(mood.back, random_colour(draws), 0.5f);
  for (int i = 0; i < 4; ++i) {
    mood.inks.push_back(contrasting_colour(draws, {mood.back, mood.other_back}));
  }
  const double turn = draws.uniform(0, 2 * std::numbers::pi);
  mood.light_x = static_cast<float>(std::cos(turn));
  mood.light_y = static_cast<float>(std::sin(turn));
  mood.scale = uniform(draws, 0.7, 1.4);
  mood.seed = static_cast<std::uint32_t>(draws.next());
  return mood;
}

void paint_background(Canvas& canvas, const Mood& mood, Draws& draws) {
  const float turn = uniform(draws, 0, 2 * std::numbers::pi);
  const float dx = std::cos(turn) / canvas.side(), dy = std::sin(turn) / canvas.side();
  const float patches = uniform(draws, 2, 12) / canvas.side();
  const float strength = uniform(draws, 0.2, 0.9);
  canvas.paint_all([&](float x, float y) {
    const float slope = 0.5f + 0.5f * (dx * (x - 0.5f * static_cast<float>(canvas.width())) +
                                       dy * (y - 0.5f * static_cast<float>(canvas.height())));
    const float patch = strength * (fractal_noise(x * patches, y * patches, 2, mood.seed) - 0.5f);
    const float part = std::clamp(slope + patch, 0.0f, 1.0f);
    return Ink{mix(mood.back, mood.other_back, part), 1};
  });
}

void paint_clutter(Canvas& canvas, Draws& draws) {
  const auto things = 3 + draws.below(8);
  for (std::uint64_t i = 0; i < things; ++i) {
    const float x = uniform(draws, 0, canvas.width()), y = uniform(draws, 0, canvas.height());
    const float size = canvas.side() * uniform(draws, 0.01, 0.06);
    switch (draws.below(3)) {
      case 0:
        canvas.paint_disc(x, y, size, random_colour(draws), uniform(draws, 0.4, 1));
        break;
      case 1:
        paint_bar(canvas, draws, x, y, size);
        break;
      default:
        paint_stroke(canvas, draws, x, y);
    }
  }
}

Image develop(const Canvas& canvas, Draws& draws) {
  Canvas picture = lit(canvas, Light(draws));
  for (auto passes = draws.below(3); passes > 0; --passes) picture = blurred(picture);
  const Grain grain{uniform(draws, 0.01, 0.12)};
  Image image{canvas.width(), canvas.height(), 3, canvas.width(), canvas.height(), {}};
  image.pixels.reserve(static_cast<std::size_t>(image.width * image.height) * 3);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const Colour colour = picture.at(x, y) + grain(draws);
      image.pixels.insert(image.pixels.end(),
                          {to_byte(colour.red), to_byte(colour.green), to_byte(colour.blue)});
    }
  }
  return image;
}

const std::vector<Scene>& all() {
  static const std::vector<Scene> scenes = {
      {"balls", paint_balls},         {"branches", paint_branches}, {"bricks", paint_bricks},
      {"buildings", paint_buildings}, {"clouds", paint_clouds},     {"fences", paint_fence},
      {"flowers", paint_flowers},     {"hills", paint_hills},       {"ripples", paint_ripples},
      {"tiles", paint_tiles}};
  return scenes;
}

Image paint(std::size_t label, std::int64_t number, std::uint64_t seed) {
  Draws draws{seed, label, static_cast<std::uint64_t>(number)};
  int width = 440 + static_cast<int>(draws.below(121)), height = width * 3 / 4;
  if (draws.below(4) == 0) std::swap(width, height);
  Canvas canvas(width, height);
  const Mood mood = make_mood(draws);
  all().at(label).painter(canvas, mood, draws);
  paint_clutter(canvas, draws);
  return develop(canvas, draws);
}

}  // namespace millrace::scenes
