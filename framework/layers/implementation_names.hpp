#pragma once
// The names by which plans, profiles and cost files call implementations of layers.

#include <string_view>

namespace millrace {

inline constexpr const char* kContiguous = "libtorch";
inline constexpr const char* kChannelsLast = "libtorch-channels-last";
// Our own kernels; images are channels-last.
inline constexpr const char* kDirect = "direct";
inline constexpr const char* kWinograd = "winograd";
inline constexpr const char* kOwn = "millrace";
// The same with products of bfloat16.
inline constexpr const char* kWinogradBf16 = "winograd-bf16";
inline constexpr const char* kOwnBf16 = "millrace-bf16";

constexpr bool is_winograd(std::string_view name) {
  return name == kWinograd || name == kWinogradBf16;
}
/// Whether its products are of bfloat16.
constexpr bool is_bf16(std::string_view name) { return name == kWinogradBf16 || name == kOwnBf16; }

}  // namespace millrace
