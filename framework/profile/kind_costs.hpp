#pragma once
// Costs that were measured on some kinds of cores, for others. Pure.

#include <string>
#include <vector>

#include "millrace/profile.hpp"

namespace millrace {

/// A kind, the measured one that its costs come from, and its speed relative to that one.
struct KindOrigin {
  DeviceKind kind;
  std::string measured;
  double speed = 1;
};

/// `measured` with `kinds` instead of its own: times divided by the speed. Teams of other widths
/// than were measured keep the efficiency of the widest that was; a kind of one core has none.
Profile costs_of_kinds(const Profile& measured, const std::vector<KindOrigin>& kinds);

}  // namespace millrace
