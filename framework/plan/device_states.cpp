#include "framework/plan/device_states.hpp"

#include <fmt/format.h>

#include "millrace/errors.hpp"

namespace millrace {

DeviceStates::DeviceStates(const std::vector<int>& counts)
    : kinds_(static_cast<int>(counts.size())) {
  long states = 1;
  for (const int count : counts) {
    radix_.push_back(static_cast<int>(states));
    states *= count + 1L;
    if (states > kMostStates) {
      throw ConfigError("plan", fmt::format("the devices form more than {} sets, which is the most "
                                            "that is searched: name fewer with --cores",
                                            kMostStates));
    }
  }
  for (long state = 0; state < states; ++state) {
    int devices = 0, kinds_used = 0, kind_used = -1;
    for (int kind = 0; kind < kinds_; ++kind) {
      const int n = static_cast<int>(state / radix_[kind] % (counts[kind] + 1));
      counts_.push_back(n);
      devices += n;
      if (n > 0) {
        ++kinds_used;
        kind_used = kind;
      }
    }
    devices_.push_back(devices);
    single_kind_.push_back(kinds_used == 1 ? kind_used : -1);
  }
}

bool DeviceStates::contains(int whole, int part) const {
  for (int kind = 0; kind < kinds_; ++kind) {
    if (count(part, kind) > count(whole, kind)) return false;
  }
  return true;
}

}  // namespace millrace
