#pragma once
// Random pipelines and a naive simulator: what the real one is compared with.

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <tuple>
#include <vector>

#include "millrace/schedule.hpp"

namespace millrace::testing {

using Random = std::mt19937_64;

inline int random_int(Random& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

/// Log-uniform over two decades, so that some stages are far slower than others.
inline double random_ns(Random& random) {
  return std::pow(10.0, std::uniform_real_distribution<double>(0, 2)(random));
}

inline std::vector<double> random_times(Random& random, int count) {
  std::vector<double> times(static_cast<std::size_t>(count));
  for (double& time : times) time = random_ns(random);
  return times;
}

/// Ends of all actions by relaxation over the dependency graph: every action's end is raised until
/// nothing changes. Slow, and as plain as the definition; nothing shared with the real simulator.
class NaiveSimulator {
 public:
  NaiveSimulator(const Schedule& schedule, const std::vector<StageTimes>& times)
      : schedule_(schedule), times_(times) {
    while (relax()) {
    }
  }

  double end_ns(const Action& action) const { return ends_.at(key(action)); }

  double makespan_ns() const {
    double latest = 0;
    for (const auto& [action, end] : ends_) latest = std::max(latest, end);
    return latest;
  }

 private:
  using Key = std::tuple<int, char, int>;
  static Key key(const Action& action) {
    return {action.stage, static_cast<char>(action.kind), action.micro_batch};
  }

  static double entry(const std::vector<double>& values, int m) {
    if (values.empty()) return 0;
    return values.size() == 1 ? values[0] : values[static_cast<std::size_t>(m)];
  }

  double duration(const Action& action) const {
    const StageTimes& times = times_[static_cast<std::size_t>(action.stage)];
    switch (action.kind) {
      case ActionKind::forward:
        return entry(times.forward_ns, action.micro_batch);
      case ActionKind::backward:
        return entry(times.backward_ns, action.micro_batch);
      case ActionKind::weight:
        return entry(times.weight_gradient_ns, action.micro_batch);
      case ActionKind::reduce:
        return times.reduce_ns;
      case ActionKind::update:
        return times.update_ns;
    }
    return 0;
  }

  double known_end(const Action& action) const {
    const auto found = ends_.find(key(action));
    return found == ends_.end() ? 0 : found->second;
  }

  /// When what the action needs from other stages is there.
  double arrival(const Action& action) const {
    const auto [s, kind, m] = action;
    const bool last = s + 1 == schedule_.stages();
    if (kind == ActionKind::forward && s > 0) {
      return known_end({s - 1, kind, m}) +
             entry(times_[static_cast<std::size_t>(s - 1)].send_forward_ns, m);
    }
    if (kind == ActionKind::backward && !last) {
      return known_end({s + 1, kind, m}) +
             entry(times_[static_cast<std::size_t>(s + 1)].send_backward_ns, m);
    }
    if (kind == ActionKind::backward) return known_end({s, ActionKind::forward, m});
    return 0;
  }

  bool relax() {
    bool changed = false;
    for (const auto& actions : schedule_.actions) {
      double previous = 0;
      for (const Action& action : actions) {
        const double end = std::max(previous, arrival(action)) + duration(action);
        const auto [place, added] = ends_.insert({key(action), end});
        changed |= added || place->second != end;
        place->second = previous = end;
      }
    }
    return changed;
  }

  const Schedule& schedule_;
  const std::vector<StageTimes>& times_;
  std::map<Key, double> ends_;
};

}  // namespace millrace::testing
