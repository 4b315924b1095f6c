#pragma once
// Core kinds to plan with, made of what hwloc reports: too many kinds, or some cores in none.

#include <string>
#include <vector>

#include "framework/topology/machine.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// Name of kind `index` of `count`, the fastest being 0: topology.hpp says which.
std::string kind_name(std::size_t index, std::size_t count);

struct CoreKinds {
  std::vector<CoreKind> kinds;  ///< the fastest first, named, each CPU of `usable` in one
  std::vector<Warning> warnings;
};

/// Kinds of the CPUs in `usable` (not empty). Speeds come from the first of LinuxCapacity,
/// FrequencyMaxMHz and FrequencyBaseMHz that all kinds have and that tells them apart; else the
/// order of the ranks is all that is known, and the slowest is taken for 0.4 of the fastest. Kinds
/// whose speed is within 10 % of a faster one are merged with it; guessed ones are not. CPUs that
/// `raw` leaves out become a kind of their own, taken for as fast as the fastest. `cores` tells SMT
/// siblings: a kind lists the first CPU of every core, then the others.
CoreKinds form_core_kinds(const std::vector<RawKind>& raw, const std::vector<int>& usable,
                          const std::vector<std::vector<int>>& cores);

}  // namespace millrace
