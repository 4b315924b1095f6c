#include "millrace/units.hpp"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr double kKibi = 1024.0;
constexpr std::array kByteUnits = {Unit{"", 1},
                                   Unit{"B", 1},
                                   Unit{"K", kKibi},
                                   Unit{"M", kKibi* kKibi},
                                   Unit{"G", kKibi* kKibi* kKibi},
                                   Unit{"T", kKibi* kKibi* kKibi* kKibi},
                                   Unit{"KiB", kKibi},
                                   Unit{"MiB", kKibi* kKibi},
                                   Unit{"GiB", kKibi* kKibi* kKibi},
                                   Unit{"TiB", kKibi* kKibi* kKibi* kKibi},
                                   Unit{"kB", 1e3},
                                   Unit{"MB", 1e6},
                                   Unit{"GB", 1e9},
                                   Unit{"TB", 1e12}};
constexpr std::array kTimeUnits = {Unit{"", 1e9},     Unit{"ns", 1},     Unit{"us", 1e3},
                                   Unit{"ms", 1e6},   Unit{"s", 1e9},    Unit{"m", 60e9},
                                   Unit{"min", 60e9}, Unit{"h", 3600e9}, Unit{"d", 86400e9}};
constexpr std::array kEnergyUnits = {Unit{"", 1},     Unit{"J", 1},     Unit{"kJ", 1e3},
                                     Unit{"MJ", 1e6}, Unit{"Wh", 3600}, Unit{"kWh", 3.6e6}};
constexpr double kLargest = 9.2e18;

void skip_blanks(std::string_view& text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
}

/// Takes "1.5GiB" off the front of `text` and returns it in base units; NaN where it is none.
template <std::size_t N>
double take_quantity(std::string_view& text, const std::array<Unit, N>& units) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{}) return NAN;
  text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
  skip_blanks(text);
  std::size_t length = 0;
  while (length < text.size() && std::isalpha(static_cast<unsigned char>(text[length])) != 0)
    ++length;
  const std::string_view name = text.substr(0, length);
  for (const Unit& unit : units) {
    if (unit.name == name) {
      text.remove_prefix(length);
      skip_blanks(text);
      return value * unit.factor;
    }
  }
  return NAN;
}

bool usable(double value) { return std::isfinite(value) && value >= 0 && value < kLargest; }

}  // namespace

std::int64_t parse_bytes(std::string_view text) {
  std::string_view rest = text;
  skip_blanks(rest);
  const double value = take_quantity(rest, kByteUnits);
  const bool lacks_unit = value < kKibi && value != std::floor(value);  // "1.5"
  if (!usable(value) || !rest.empty() || lacks_unit) {
    throw ConfigError("units",
                      fmt::format("\"{}\" is no size: write it as 512M, 1.5GiB or 4096", text));
  }
  return static_cast<std::int64_t>(std::llround(value));
}

std::int64_t parse_duration_ns(std::string_view text) {
  std::string_view rest = text;
  skip_blanks(rest);
  double total = rest.empty() ? NAN : 0;
  while (!rest.empty() && std::isfinite(total)) total += take_quantity(rest, kTimeUnits);
  if (!usable(total)) {
    throw ConfigError("units",
                      fmt::format("\"{}\" is no time: write it as 90s, 10m or 2h30m", text));
  }
  return static_cast<std::int64_t>(std::llround(total));
}

double parse_energy_joules(std::string_view text) {
  std::string_view rest = text;
  skip_blanks(rest);
  const double value = take_quantity(rest, kEnergyUnits);
  if (!usable(value) || !rest.empty())
    throw ConfigError("units",
                      fmt::format("\"{}\" is no energy: write it as 500J, 20kJ or 1.5Wh", text));
  return value;
}

std::string format_energy(double joules) {
  if (joules < 1e4) return fmt::format("{:.0f} J", joules);
  return joules < 1e6 ? fmt::format("{:.1f} kJ", joules / 1e3)
                      : fmt::format("{:.2f} MJ", joules / 1e6);
}

std::string format_bytes(double bytes) {
  constexpr std::array names = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (std::abs(bytes) >= kKibi && unit + 1 < names.size()) {
    bytes /= kKibi;
    ++unit;
  }
  const int digits = unit == 0 || bytes >= 100 ? 0 : bytes >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} {}", bytes, digits, names[unit]);
}

std::string format_duration(double ns) {
  if (ns < 1e3) return fmt::format("{:.0f} ns", ns);
  if (ns < 1e6) return fmt::format("{:.{}f} us", ns / 1e3, ns < 1e5 ? 1 : 0);
  if (ns < 1e9) return fmt::format("{:.{}f} ms", ns / 1e6, ns < 1e8 ? 1 : 0);
  if (ns < 99.5e9) return fmt::format("{:.{}f} s", ns / 1e9, ns < 10e9 ? 2 : 1);
  const auto seconds = static_cast<std::int64_t>(std::llround(ns / 1e9));
  if (seconds < 3600) return fmt::format("{} m {:02} s", seconds / 60, seconds % 60);
  const std::int64_t minutes = (seconds + 30) / 60;
  return fmt::format("{} h {:02} m", minutes / 60, minutes % 60);
}

}  // namespace millrace
