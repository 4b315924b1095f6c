#include "models/data/scenes/canvas.hpp"

namespace millrace::scenes {
namespace {

constexpr float kContrast = 0.3f;

float lattice(int x, int y, std::uint32_t seed) {
  std::uint32_t h = static_cast<std::uint32_t>(x) * 0x8da6b343u ^
                    static_cast<std::uint32_t>(y) * 0xd8163841u ^ seed * 0xcb1ab31fu;
  h = (h ^ (h >> 15)) * 0x2c1b3c6du;
  h = (h ^ (h >> 12)) * 0x297a2d39u;
  return static_cast<float>((h ^ (h >> 15)) >> 8) * 0x1p-24f;
}

float between(float a, float b, float part) { return a + part * (b - a); }

float smooth(float t) { return t * t * (3 - 2 * t); }

}  // namespace

Colour random_colour(Draws& draws) {
  const double hue = draws.uniform(0, 6), saturation = draws.uniform(0.1, 0.85);
  const double value = draws.uniform(0.15, 0.95);
  const auto channel = [&](double shift) {
    const double k = std::fmod(shift + hue, 6.0);
    const double drop = std::clamp(std::min(k, 4 - k), 0.0, 1.0);
    return static_cast<float>(value - value * saturation * drop);
  };
  return {channel(5), channel(3), channel(1)};
}

Colour contrasting_colour(Draws& draws, const std::vector<Colour>& others) {
  constexpr int kAttempts = 12;
  Colour colour = random_colour(draws);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const bool differs = std::all_of(others.begin(), others.end(), [&](const Colour& other) {
      return std::abs(luminance(colour) - luminance(other)) >= kContrast;
    });
    if (differs) break;
    colour = random_colour(draws);
  }
  return colour;
}

void Canvas::paint_capsule(float ax, float ay, float a_radius, float bx, float by, float b_radius,
                           const Colour& colour) {
  const float wide = std::max(a_radius, b_radius) + 1;
  const float dx = bx - ax, dy = by - ay, length2 = std::max(dx * dx + dy * dy, 1e-6f);
  paint(std::min(ax, bx) - wide, std::min(ay, by) - wide, std::max(ax, bx) + wide,
        std::max(ay, by) + wide, [&](float x, float y) {
          const float t = std::clamp(((x - ax) * dx + (y - ay) * dy) / length2, 0.0f, 1.0f);
          const float distance = length_of(x - ax - t * dx, y - ay - t * dy);
          return Ink{colour, coverage(a_radius + t * (b_radius - a_radius) - distance)};
        });
}

void Canvas::paint_disc(float x, float y, float radius, const Colour& colour, float alpha) {
  paint(x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1, [&](float px, float py) {
    return Ink{colour, alpha * coverage(radius - length_of(px - x, py - y))};
  });
}

float noise(float x, float y, std::uint32_t seed) {
  const int ix = floor_of(x), iy = floor_of(y);
  const float u = smooth(x - static_cast<float>(ix)), v = smooth(y - static_cast<float>(iy));
  const float top = between(lattice(ix, iy, seed), lattice(ix + 1, iy, seed), u);
  const float bottom = between(lattice(ix, iy + 1, seed), lattice(ix + 1, iy + 1, seed), u);
  return between(top, bottom, v);
}

float fractal_noise(float x, float y, int octaves, std::uint32_t seed) {
  float sum = 0, weight = 1, total = 0;
  for (int octave = 0; octave < octaves; ++octave) {
    sum += weight * noise(x, y, seed + static_cast<std::uint32_t>(octave));
    total += weight;
    weight *= 0.5f;
    x *= 2;
    y *= 2;
  }
  return sum / total;
}

}  // namespace millrace::scenes
