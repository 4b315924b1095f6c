// Scenes of things in front of a background: balls, branches, buildings, fences, flowers.

#include <numbers>

#include "models/data/scenes/painters.hpp"

namespace millrace::scenes {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;

float uniform(Draws& draws, double low, double high) {
  return static_cast<float>(draws.uniform(low, high));
}

const Colour& any_ink(const Mood& mood, Draws& draws) {
  return mood.inks[draws.below(mood.inks.size())];
}

/// A lit sphere: brighter towards the light, with a highlight.
void paint_ball(Canvas& canvas, const Mood& mood, float x, float y, float radius,
                const Colour& colour) {
  canvas.paint(
      x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1, [&](float px, float py) {
        const float u = (px - x) / radius, v = (py - y) / radius;
        const float distance = length_of(u, v);
        const float depth = std::sqrt(std::max(0.0f, 1 - u * u - v * v));
        const float facing = 0.6f * (u * mood.light_x + v * mood.light_y) + 0.8f * depth;
        const float shade = 0.35f + 0.75f * std::max(0.0f, facing);
        const float shine = 0.6f * std::pow(std::clamp(facing, 0.0f, 1.0f), 24.0f);
        return Ink{mix(colour * shade, {1, 1, 1}, shine), coverage((1 - distance) * radius)};
      });
}

void paint_shadow(Canvas& canvas, const Mood& mood, float x, float y, float radius) {
  const float sx = x - 0.5f * radius * mood.light_x, sy = y - 0.5f * radius * mood.light_y;
  const float wide = 1.25f * radius;
  canvas.paint(sx - wide, sy - wide, sx + wide, sy + wide, [&](float px, float py) {
    const float distance = length_of(px - sx, py - sy) / wide;
    return Ink{{0, 0, 0}, 0.6f * std::clamp(2 - 2 * distance, 0.0f, 1.0f)};
  });
}

/// A branch and, thinner and shorter, what grows from it.
void grow(Canvas& canvas, Draws& draws, const Colour& colour, float x, float y, float turn,
          float length, float radius, int depth) {
  const float end_x = x + length * std::cos(turn), end_y = y + length * std::sin(turn);
  canvas.paint_capsule(x, y, radius, end_x, end_y, radius * 0.7f, colour);
  if (depth == 0) return;
  const auto children = 2 + draws.below(2);
  for (std::uint64_t i = 0; i < children; ++i) {
    const float along = i == 0 ? 1.0f : uniform(draws, 0.5, 1);
    grow(canvas, draws, colour, x + along * (end_x - x), y + along * (end_y - y),
         turn + uniform(draws, -0.75, 0.75), length * uniform(draws, 0.62, 0.85), radius * 0.66f,
         depth - 1);
  }
}

/// Rows of windows, some lit.
void paint_building(Canvas& canvas, const Mood& mood, Draws& draws, float left, float top,
                    float width) {
  const Colour wall = any_ink(mood, draws);
  const Colour glass = wall * 0.5f,
               lamp = mix(contrasting_colour(draws, {wall}), {1, 1, 0.8f}, 0.5f);
  const float cell = canvas.side() * uniform(draws, 0.03, 0.06);
  const float lit_part = uniform(draws, 0.1, 0.8);
  const float bottom = static_cast<float>(canvas.height());
  const auto seed = static_cast<std::uint32_t>(draws.next());
  canvas.paint(left, top, left + width, bottom, [&](float x, float y) {
    const float column = (x - left) / cell, row = (y - top) / (1.3f * cell);
    const float whole_column = static_cast<float>(floor_of(column));
    const float whole_row = static_cast<float>(floor_of(row));
    const float u = column - whole_column, v = row - whole_row;
    const bool window = u > 0.25f && u < 0.75f && v > 0.25f && v < 0.7f;
    const float side = 0.85f + 0.3f * (0.5f + 0.5f * mood.light_x) * (x - left) / width;
    const bool lamp_on = noise(whole_column, whole_row, seed) < lit_part;
    const bool inside = x < left + width;
    return Ink{window ? (lamp_on ? lamp : glass) : wall * side, inside ? 1.0f : 0.0f};
  });
}

void paint_flower(Canvas& canvas, const Mood& mood, Draws& draws, float x, float y, float radius) {
  const Colour petal = any_ink(mood, draws), heart = contrasting_colour(draws, {petal});
  const float petals = static_cast<float>(5 + draws.below(6)), turn = uniform(draws, 0, kPi);
  const float depth = uniform(draws, 0.35, 0.6), tilt = uniform(draws, 0.6, 1);
  canvas.paint(x - radius, y - radius, x + radius, y + radius, [&](float px, float py) {
    const float u = px - x, v = (py - y) / tilt;
    const float distance = length_of(u, v), angle = std::atan2(v, u) + turn;
    const float wave = std::abs(std::cos(0.5f * petals * angle));
    const float edge = radius * (1 - depth + depth * std::sqrt(wave));
    const float shade = 0.6f + 0.4f * wave * std::min(1.0f, 1.5f * distance / radius);
    const bool is_heart = distance < 0.24f * radius;
    return Ink{is_heart ? heart : petal * shade, coverage(edge - distance)};
  });
}

}  // namespace

void paint_balls(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const auto balls = 3 + draws.below(7);
  for (std::uint64_t i = 0; i < balls; ++i) {
    const float radius = canvas.side() * mood.scale * uniform(draws, 0.06, 0.2);
    const float x = uniform(draws, 0, canvas.width()), y = uniform(draws, 0, canvas.height());
    paint_shadow(canvas, mood, x, y, radius);
    paint_ball(canvas, mood, x, y, radius, any_ink(mood, draws));
  }
}

void paint_branches(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const auto trees = 1 + draws.below(3);
  for (std::uint64_t i = 0; i < trees; ++i) {
    const float x = canvas.width() * uniform(draws, 0.1, 0.9);
    const float y = canvas.height() * uniform(draws, 0.9, 1.1);
    const float length = canvas.side() * mood.scale * uniform(draws, 0.2, 0.3);
    grow(canvas, draws, any_ink(mood, draws), x, y, -kPi / 2 + uniform(draws, -0.3, 0.3), length,
         length * uniform(draws, 0.08, 0.13), 6);
  }
}

void paint_buildings(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const float width = static_cast<float>(canvas.width()),
              height = static_cast<float>(canvas.height());
  for (float x = -width * uniform(draws, 0, 0.15); x < width;) {
    const float wide = canvas.side() * mood.scale * uniform(draws, 0.12, 0.35);
    paint_building(canvas, mood, draws, x, height * uniform(draws, 0.1, 0.75), wide);
    x += wide * uniform(draws, 0.8, 1.3);
  }
}

void paint_fence(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const Colour wood = any_ink(mood, draws), rail = wood * uniform(draws, 0.6, 0.85);
  const float side = canvas.side(), gap = side * mood.scale * uniform(draws, 0.08, 0.16);
  const float slat = gap * uniform(draws, 0.35, 0.7), lean = uniform(draws, -0.15, 0.15);
  const float top = canvas.height() * uniform(draws, 0.1, 0.4);
  const float bottom = canvas.height() * uniform(draws, 0.8, 1.1);
  const float shift = uniform(draws, 0, gap), slope = uniform(draws, -0.15, 0.15);
  canvas.paint_all([&](float x, float y) {
    const float across = x + lean * y + shift, down = y + slope * x;
    const float u = across - gap * static_cast<float>(floor_of(across / gap)) - 0.5f * gap;
    const float tip = top + std::abs(u);  // slats end in a point
    const float on_slat =
        coverage(0.5f * slat - std::abs(u)) * coverage(down - tip) * coverage(bottom - down);
    const float rail_at = std::min(std::abs(down - top - 0.2f * (bottom - top)),
                                   std::abs(down - top - 0.75f * (bottom - top)));
    const float on_rail = coverage(0.25f * gap - rail_at);
    if (on_slat + on_rail == 0) return Ink{};
    const float grain = 0.8f + 0.4f * noise(across * 0.2f, y * 0.02f, mood.seed + 7);
    return on_slat > 0 ? Ink{wood * grain, on_slat} : Ink{rail * grain, on_rail};
  });
}

void paint_flowers(Canvas& canvas, const Mood& mood, Draws& draws) {
  paint_background(canvas, mood, draws);
  const auto flowers = 2 + draws.below(6);
  const Colour stem = any_ink(mood, draws) * 0.8f;
  for (std::uint64_t i = 0; i < flowers; ++i) {
    const float radius = canvas.side() * mood.scale * uniform(draws, 0.09, 0.22);
    const float x = uniform(draws, 0, canvas.width());
    const float y = canvas.height() * uniform(draws, 0.1, 0.8);
    const float foot = x + radius * uniform(draws, -1, 1);
    canvas.paint_capsule(x, y, radius * 0.06f, foot, static_cast<float>(canvas.height()),
                         radius * 0.09f, stem);
    paint_flower(canvas, mood, draws, x, y, radius);
  }
}

}  // namespace millrace::scenes
