#pragma once
// Names of Arm cores by the numbers of their identification register.

#include <cstdint>
#include <string>

namespace millrace {

/// "Cortex-A76" for implementer 0x41, part 0xd0b; "" where unknown.
std::string arm_core_model(std::uint32_t implementer, std::uint32_t part);

}  // namespace millrace
