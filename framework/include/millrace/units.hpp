#pragma once
// Sizes and times as people write them, and back.

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

/// Bytes from "512M", "1.5GiB", "4096", "2 kB". K, M, G, T and KiB, MiB, … are powers of 1024;
/// kB, MB, GB, TB are powers of 1000. Throws ConfigError (tag "units") for anything else, for a
/// negative or non-finite value, and for one that does not fit 63 bits.
std::int64_t parse_bytes(std::string_view text);

/// Nanoseconds from "10m", "2h30m", "90s", "1.5h", "250ms", "3d"; a bare number is seconds.
/// Throws ConfigError (tag "units").
std::int64_t parse_duration_ns(std::string_view text);

/// Joules from "500J", "20kJ", "1.5Wh", "2kWh"; a bare number is joules. Throws ConfigError (tag
/// "units").
double parse_energy_joules(std::string_view text);

/// "500 J", "20.0 kJ", "1.50 MJ".
std::string format_energy(double joules);

/// "412 MiB", "1.50 GiB", "96 B".
std::string format_bytes(double bytes);

/// "1.24 s", "412 ms", "2 h 05 m", "3 m 20 s", "850 ns".
std::string format_duration(double ns);

}  // namespace millrace
