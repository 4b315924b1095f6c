#include "framework/topology/core_models.hpp"

#include <array>

namespace millrace {
namespace {

struct Model {
  std::uint32_t implementer;
  std::uint32_t part;
  const char* name;
};

// arch/arm64/include/asm/cputype.h and arch/arm/include/asm/cputype.h of Linux.
constexpr std::array kModels = {
    Model{0x41, 0xc07, "Cortex-A7"},    Model{0x41, 0xc0f, "Cortex-A15"},
    Model{0x41, 0xd03, "Cortex-A53"},   Model{0x41, 0xd04, "Cortex-A35"},
    Model{0x41, 0xd05, "Cortex-A55"},   Model{0x41, 0xd07, "Cortex-A57"},
    Model{0x41, 0xd08, "Cortex-A72"},   Model{0x41, 0xd09, "Cortex-A73"},
    Model{0x41, 0xd0a, "Cortex-A75"},   Model{0x41, 0xd0b, "Cortex-A76"},
    Model{0x41, 0xd0c, "Neoverse-N1"},  Model{0x41, 0xd0d, "Cortex-A77"},
    Model{0x41, 0xd40, "Neoverse-V1"},  Model{0x41, 0xd41, "Cortex-A78"},
    Model{0x41, 0xd42, "Cortex-A78AE"}, Model{0x41, 0xd44, "Cortex-X1"},
    Model{0x41, 0xd46, "Cortex-A510"},  Model{0x41, 0xd47, "Cortex-A710"},
    Model{0x41, 0xd48, "Cortex-X2"},    Model{0x41, 0xd49, "Neoverse-N2"},
    Model{0x41, 0xd4d, "Cortex-A715"},  Model{0x41, 0xd4e, "Cortex-X3"},
    Model{0x41, 0xd4f, "Neoverse-V2"},  Model{0x41, 0xd80, "Cortex-A520"},
    Model{0x41, 0xd81, "Cortex-A720"},  Model{0x41, 0xd82, "Cortex-X4"},
    Model{0x41, 0xd85, "Cortex-X925"},  Model{0x41, 0xd87, "Cortex-A725"},
    Model{0x4e, 0x003, "Denver 2"},     Model{0x4e, 0x004, "Carmel"},
    Model{0x53, 0x001, "Exynos M1"},
};

}  // namespace

std::string arm_core_model(std::uint32_t implementer, std::uint32_t part) {
  for (const Model& model : kModels) {
    if (model.implementer == implementer && model.part == part) return model.name;
  }
  return "";
}

}  // namespace millrace
