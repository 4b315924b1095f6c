// Which ways to run a stage the costs and the layers allow.

#include <fmt/format.h>

#include <tuple>
#include <utility>

#include "framework/plan/cost_model.hpp"

namespace millrace {

std::vector<StageShape> CostModel::shapes(int first, int last, int state, bool sole) const {
  std::vector<StageShape> result;
  const auto take = [&](Split split, int width) {
    const StageShape made = shape(first, last, state, split, width, sole);
    if (allows(made)) result.push_back(made);
  };
  take(Split::samples, 1);
  const int devices = states_.devices(state);
  if (devices < 2) return result;
  take(Split::features, 1);
  if (states_.single_kind(state) < 0) return result;
  for (int width = 2; width <= devices; ++width) {
    if (devices % width == 0) take(Split::threads, width);
  }
  return result;
}

/// One device of each kind in the set can run what `last` has more, alone or beside replicas.
bool CostModel::covers_singles(const StageShape& shape, int first, int last) const {
  if (replicas(shape) > 1 && sums_.whole_only.sum(first, last) > 0) return false;
  return has_costs(shape, first, last);
}

bool CostModel::has_costs(const StageShape& shape, int first, int last) const {
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    if (states_.count(shape.state, kind) > 0 && !sums_.singles[kind].alone.covers(first, last)) {
      return false;
    }
  }
  return true;
}

bool CostModel::allows(const StageShape& shape) const {
  const int kind = states_.single_kind(shape.state);
  if (shape.split == Split::samples) return covers_singles(shape, shape.first, shape.last);
  if (states_.devices(shape.state) < 2) return false;
  if (shape.split == Split::threads) {
    const auto found = sums_.threads.find({kind, shape.width});
    return found != sums_.threads.end() && found->second.alone.covers(shape.first, shape.last) &&
           (replicas(shape) == 1 || sums_.whole_only.sum(shape.first, shape.last) == 0);
  }
  const FeatureRun& run = shape.run;
  return !run.empty() && covers_singles(shape, shape.first, run.first) &&
         has_costs(shape, run.first, run.last) && covers_singles(shape, run.last, shape.last);
}

/// Of one layer of the stage.
std::string CostModel::why_not(const StageShape& shape, int position, bool sliced) const {
  const std::string& name = layer(position).name;
  StageShape alone = shape;
  std::tie(alone.first, alone.last) =
      std::pair(sums_.cuts.prefix(position), sums_.cuts.prefix(position + 1));
  if (!sliced && replicas(shape) > 1 && sums_.whole_only.sum(alone.first, alone.last) > 0) {
    return fmt::format("layer \"{}\" does not list \"samples\" in splits", name);
  }
  if (shape.split == Split::threads) {
    return allows(alone)
               ? ""
               : fmt::format("layer \"{}\" has no threads_ns for {} devices of \"{}\"", name,
                             shape.width, profile_.kinds[states_.single_kind(shape.state)].name);
  }
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    if (states_.count(shape.state, kind) == 0) continue;
    if (sums_.singles[kind].alone.covers(alone.first, alone.last)) continue;
    return fmt::format("layer \"{}\" has no costs on \"{}\"", name, profile_.kinds[kind].name);
  }
  return "";
}

std::string CostModel::why_not(const StageShape& shape) const {
  if (allows(shape)) return "";
  const int kind = states_.single_kind(shape.state);
  const int devices = states_.devices(shape.state);
  if (shape.split == Split::threads && kind < 0)
    return "split \"threads\" needs at least 2 devices of one kind";
  if (shape.split != Split::samples && devices < 2)
    return fmt::format("split \"{}\" needs at least 2 devices", to_string(shape.split));
  if (shape.split == Split::features && shape.run.empty()) {
    if (kind >= 0)
      return fmt::format("no linear layer of the stage has features_ns for {} devices of \"{}\"",
                         devices, profile_.kinds[kind].name);
    return shares_memory(shape.state)
               ? "no linear layer of the stage lists \"features\" in splits"
               : "devices of several kinds must share one memory, and one has memory or a link of "
                 "its own: leave it out, or split by samples";
  }
  std::string reason;
  const auto look = [&](int first, int last, bool sliced) {
    sums_.cuts.visit_members(first, last, [&](int position) {
      if (reason.empty()) reason = why_not(shape, position, sliced);
    });
  };
  const FeatureRun run = shape.run.empty() ? FeatureRun{shape.first, shape.first} : shape.run;
  look(shape.first, run.first, false);
  look(run.first, run.last, true);
  look(run.last, shape.last, false);
  return reason;
}

}  // namespace millrace
