#pragma once
// What scenes are painted on: float RGB, 0..1, blended shape by shape.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "models/data/draws.hpp"
#include "models/data/image.hpp"

namespace millrace::scenes {

struct Colour {
  float red = 0, green = 0, blue = 0;
};

inline Colour operator*(const Colour& a, float k) { return {a.red * k, a.green * k, a.blue * k}; }
inline Colour operator+(const Colour& a, const Colour& b) {
  return {a.red + b.red, a.green + b.green, a.blue + b.blue};
}
inline Colour mix(const Colour& a, const Colour& b, float part) {
  return a * (1 - part) + b * part;
}
inline float luminance(const Colour& c) {
  return 0.299f * c.red + 0.587f * c.green + 0.114f * c.blue;
}

/// Hue uniform, saturation and value from ranges that hold for every class.
Colour random_colour(Draws& draws);
/// One whose luminance differs from the others' where a few attempts find one.
Colour contrasting_colour(Draws& draws, const std::vector<Colour>& others);

/// std::floor and std::hypot are calls into the C library; these are a few instructions.
inline int floor_of(float x) {
  const int whole = static_cast<int>(x);
  return whole - (x < static_cast<float>(whole) ? 1 : 0);
}
inline float length_of(float x, float y) { return std::sqrt(x * x + y * y); }

/// 0 below -1/2, 1 above 1/2: how much of a pixel lies inside an edge at signed distance d
/// (pixels).
inline float coverage(float d) { return std::clamp(d + 0.5f, 0.0f, 1.0f); }

struct Ink {
  Colour colour;
  float alpha = 0;  ///< 0 leaves the pixel as it is
};

class Canvas {
 public:
  Canvas(int width, int height)
      : width_(width), height_(height), pixels_(static_cast<std::size_t>(width * height)) {}

  int width() const { return width_; }
  int height() const { return height_; }
  float side() const { return static_cast<float>(std::min(width_, height_)); }  ///< the shorter one
  Colour& at(int x, int y) { return pixels_[static_cast<std::size_t>(y * width_ + x)]; }
  const Colour& at(int x, int y) const { return pixels_[static_cast<std::size_t>(y * width_ + x)]; }

  /// Blends shader(x, y) -> Ink, at pixel centres, over the rectangle; what lies outside is cut
  /// off.
  template <typename Shader>
  void paint(float left, float top, float right, float bottom, const Shader& shader) {
    const int x0 = std::max(0, static_cast<int>(left)), y0 = std::max(0, static_cast<int>(top));
    const int x1 = std::min(width_, static_cast<int>(right) + 1);
    const int y1 = std::min(height_, static_cast<int>(bottom) + 1);
    for (int y = y0; y < y1; ++y) {
      for (int x = x0; x < x1; ++x) {
        const Ink ink = shader(static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f);
        if (ink.alpha > 0) at(x, y) = mix(at(x, y), ink.colour, ink.alpha);
      }
    }
  }
  template <typename Shader>
  void paint_all(const Shader& shader) {
    paint(0, 0, static_cast<float>(width_), static_cast<float>(height_), shader);
  }

  /// A line with round ends, `radius` at each end.
  void paint_capsule(float ax, float ay, float a_radius, float bx, float by, float b_radius,
                     const Colour& colour);
  void paint_disc(float x, float y, float radius, const Colour& colour, float alpha = 1);

 private:
  int width_, height_;
  std::vector<Colour> pixels_;
};

/// Smooth value noise in 0..1, lattice of one unit.
float noise(float x, float y, std::uint32_t seed);
/// Octaves of it, each half as large and half as strong; 0..1.
float fractal_noise(float x, float y, int octaves, std::uint32_t seed);

}  // namespace millrace::scenes
