#pragma once
// Which cores are of one kind, judged by how fast they ran the probe. Pure.

#include <map>
#include <vector>

#include "millrace/topology.hpp"

namespace millrace {

/// CPU number -> probe rounds per second.
using CoreRates = std::map<int, double>;

/// Cores of one kind differ by less; a larger difference makes kinds of their own. As for the kinds
/// that hwloc reports (form_core_kinds).
constexpr double kKindTolerance = 0.1;
/// A machine that runs slower or faster as a whole by less runs at the same speed.
constexpr double kSpeedTolerance = 0.05;

/// True where a core of some kind is slower than the fastest of its kind by more than the
/// tolerance.
bool kinds_differ(const Topology& topology, const CoreRates& rates);

/// `topology` with kinds formed again: those that hold cores of different speed are divided (SMT
/// siblings stay together), all are ordered and named by the speed of their fastest core, and
/// relative_speed follows the rates. Equal to the argument but for relative_speed where no kind is
/// divided.
Topology form_kinds(const Topology& topology, const CoreRates& rates);

/// How the machine compares with the rates that a profile was measured at.
struct RateChange {
  enum class Verdict {
    same,     ///< within the tolerance
    uniform,  ///< all cores by the same factor (clock, a busy host): costs can be scaled
    changed,  ///< some cores only, another set of cores, or more than half: measure again
  };
  Verdict verdict = Verdict::same;
  double factor = 1;  ///< now / then, median over the cores
};
RateChange compare_rates(const CoreRates& then, const CoreRates& now);

/// The higher rate of each core: what disturbs a probe only ever makes it slower.
CoreRates best_of(const CoreRates& a, const CoreRates& b);

}  // namespace millrace
