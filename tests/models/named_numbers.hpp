#pragma once
// Numbers that this side and reference/make.py make the same way.

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <string>

namespace millrace::testing {

/// SplitMix64 from FNV-1a of the name, as doubles in [-1, 1).
inline at::Tensor numbers(const std::string& name, std::int64_t count) {
  std::uint64_t state = 0xCBF29CE484222325;
  for (const char byte : name) state = (state ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
  const at::Tensor values = at::empty({count}, at::kDouble);
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    values.data_ptr<double>()[i] = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1;
  }
  return values;
}

/// Of the scale that a layer's weights have.
inline at::Tensor weights(const std::string& name, at::IntArrayRef shape) {
  const at::Tensor values = numbers(name, c10::multiply_integers(shape));
  if (shape.size() == 1) return values * 0.1 + (name.ends_with(".weight") ? 1 : 0);
  const double fan_in = static_cast<double>(values.numel()) / static_cast<double>(shape[0]);
  return (values * std::sqrt(6 / fan_in)).reshape(shape);
}

}  // namespace millrace::testing
