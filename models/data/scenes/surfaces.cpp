// Scenes that fill the picture: bricks, clouds, hills, ripples, tiles.

#include <array>
#include <numbers>

#include "models/data/scenes/painters.hpp"

namespace millrace::scenes {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;

float uniform(Draws& draws, double low, double high) {
  return static_cast<float>(draws.uniform(low, high));
}

float fraction(float x) { return x - static_cast<float>(floor_of(x)); }

/// Turned and sheared picture coordinates, so that no surface lies square to the camera.
struct View {
  float cos, sin, shear;

  explicit View(Draws& draws) {
    const float turn = uniform(draws, -0.3, 0.3);
    cos = std::cos(turn);
    sin = std::sin(turn);
    shear = uniform(draws, -0.25, 0.25);
  }
  float u(float x, float y) const { return cos * x + sin * y + shear * y; }
  float v(float x, float y) const { return cos * y - sin * x; }
};

/// The outline of a ridge: height above its base over x.
float ridge(float x, std::uint32_t seed) { return fractal_noise(x, 0.5f, 4, seed); }

struct Source {
  float x, y, length, phase;
};

}  // namespace

void paint_bricks(Canvas& canvas, const Mood& mood, Draws& draws) {
  const View view(draws);
  const float height = canvas.side() * mood.scale * uniform(draws, 0.06, 0.11);
  const float width = height * uniform(draws, 1.8, 2.8),
              joint = height * uniform(draws, 0.08, 0.18);
  const Colour brick = mood.inks[0], other = mix(brick, mood.inks[1], 0.4f);
  canvas.paint_all([&](float x, float y) {
    const float u = view.u(x, y), v = view.v(x, y);
    const float row = static_cast<float>(floor_of(v / height));
    const float shifted = u + (static_cast<int>(row) & 1 ? 0.5f * width : 0.0f);
    const float column = static_cast<float>(floor_of(shifted / width));
    const float du = std::min(shifted - column * width, (column + 1) * width - shifted);
    const float dv = std::min(v - row * height, (row + 1) * height - v);
    const float inside = coverage(std::min(du, dv) - 0.5f * joint);
    const float tone = noise(column * 1.7f, row * 1.3f, mood.seed);
    const float rough = 0.85f + 0.3f * noise(x * 0.25f, y * 0.25f, mood.seed + 1);
    return Ink{mix(mood.back, mix(brick, other, tone), inside) * rough, 1};
  });
}

void paint_clouds(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const float across = uniform(draws, 2, 4.5) / (canvas.side() * mood.scale);
  const float down = across * uniform(draws, 1.2, 2.2);
  const float threshold = uniform(draws, 0.42, 0.55), softness = uniform(draws, 0.08, 0.2);
  const Colour cloud = mood.inks[0];
  canvas.paint_all([&](float x, float y) {
    const float thick = fractal_noise(x * across, y * down, 5, mood.seed + 11);
    const float alpha = std::clamp((thick - threshold) / softness, 0.0f, 1.0f);
    if (alpha == 0) return Ink{};
    const float lit = fractal_noise(x * across + 0.15f * mood.light_x,
                                    y * down + 0.15f * mood.light_y, 3, mood.seed + 11);
    const float shade = std::clamp(1 + 1.5f * (thick - lit), 0.6f, 1.25f);
    return Ink{cloud * shade, alpha * alpha * (3 - 2 * alpha)};
  });
}

void paint_hills(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const auto ridges = 3 + draws.below(4);
  const float height = static_cast<float>(canvas.height()), side = canvas.side();
  const Colour near = mood.inks[0];
  const float first = uniform(draws, 0.25, 0.5),
              relief = side * mood.scale * uniform(draws, 0.2, 0.4);
  const float length = uniform(draws, 1, 3) / (side * mood.scale);
  for (std::uint64_t i = 0; i < ridges; ++i) {
    const float part = static_cast<float>(i + 1) / static_cast<float>(ridges);
    const float base = height * (first + (1 - first) * part) + 0.3f * relief;
    const Colour colour =
        mix(mix(mood.other_back, near, 0.35f), near, part) * uniform(draws, 0.8, 1.1);
    const auto seed = static_cast<std::uint32_t>(draws.next());
    std::vector<float> top;
    for (int x = 0; x < canvas.width(); ++x) {
      top.push_back(base - relief * ridge(static_cast<float>(x) * length, seed));
    }
    canvas.paint_all([&](float x, float y) {
      const float edge = top[static_cast<std::size_t>(x)];
      if (y < edge - 1) return Ink{};
      const float rough = 0.85f + 0.3f * noise(x * 0.15f, (y - edge) * 0.3f, seed + 5);
      return Ink{colour * rough, coverage(y - edge)};
    });
  }
}

void paint_ripples(Canvas& canvas, const Mood& mood, Draws& draws) {
  const float width = static_cast<float>(canvas.width()),
              height = static_cast<float>(canvas.height());
  const float flat = uniform(draws, 0.45, 1);  // seen from above, or from the side
  std::vector<Source> sources;
  for (auto count = 1 + draws.below(3); count > 0; --count) {
    sources.push_back({width * uniform(draws, -0.1, 1.1), height * uniform(draws, -0.1, 1.1),
                       canvas.side() * mood.scale * uniform(draws, 0.05, 0.1),
                       uniform(draws, 0, 2 * kPi)});
  }
  canvas.paint_all([&](float x, float y) {
    float slope = 0;
    for (const Source& source : sources) {
      const float dx = x - source.x, dy = (y - source.y) / flat;
      const float distance = length_of(dx, dy) + 1;
      const float towards = (dx * mood.light_x + dy * mood.light_y) / distance;
      slope +=
          std::cos(2 * kPi * distance / source.length + source.phase) * (0.55f + 0.45f * towards);
    }
    slope /= static_cast<float>(sources.size());
    const float part = std::clamp(0.5f + 0.6f * slope, 0.0f, 1.0f);
    return Ink{mix(mood.back, mood.inks[0], part), 1};
  });
}

void paint_tiles(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const float width = static_cast<float>(canvas.width()),
              height = static_cast<float>(canvas.height());
  const float horizon = height * uniform(draws, -0.1, 0.45),
              centre = width * uniform(draws, 0.2, 0.8);
  const float turn = uniform(draws, 0, kPi / 2), c = std::cos(turn), s = std::sin(turn);
  const float size = uniform(draws, 0.25, 0.5) * mood.scale;
  const Colour light = mood.inks[0], dark = mix(mood.other_back, mood.inks[1], 0.15f);
  canvas.paint_all([&](float x, float y) {
    const float below = (y - horizon) / height;
    if (below <= 0.01f) return Ink{};
    const float depth = 0.6f / below, across = depth * (x - centre) / width * 1.6f;
    const float u = (c * across + s * depth) / size, v = (c * depth - s * across) / size;
    const float edge_u = std::abs(fraction(u) - 0.5f), edge_v = std::abs(fraction(v) - 0.5f);
    const bool odd = ((floor_of(u) + floor_of(v)) & 1) != 0;
    const float joint = std::max(edge_u, edge_v) > 0.48f ? 0.7f : 1.0f;
    const float haze = std::clamp(below * 4, 0.0f, 1.0f);
    return Ink{mix(mood.other_back, (odd ? light : dark) * joint, haze), 1};
  });
}

}  // namespace millrace::scenes
