#include "controller/estimate/stage_work.hpp"

#include <algorithm>
#include <string>

#include "controller/estimate/borders.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

enum class Pass { forward, backward };

const LayerCosts* find_layer(const Profile& profile, const std::string& name) {
  const auto found = std::find_if(profile.layers.begin(), profile.layers.end(),
                                  [&](const LayerCosts& layer) { return layer.name == name; });
  return found == profile.layers.end() ? nullptr : &*found;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const std::vector<double>* find_curve(const std::optional<PassWidths>& widths, Pass pass,
                                      const std::string& kind, int width) {
  if (!widths) return nullptr;
  const auto& kinds = pass == Pass::forward ? widths->forward : widths->backward;
  const auto by_width = kinds.find(kind);
  if (by_width == kinds.end()) return nullptr;
  const auto curve = by_width->second.find(width);
  return curve == by_width->second.end() ? nullptr : &curve->second;
}

const std::vector<double>* find_curve(const PerKind& kinds, const std::string& kind) {
  const auto curve = kinds.find(kind);
  return curve == kinds.end() ? nullptr : &curve->second;
}

/// Costs of one stage by the profile alone. Of the computation only ratios are used: what the
/// planner knows besides (load factors, refinement on the machine) is in the plan's own times.
class StageCosts {
 public:
  StageCosts(const Profile& profile, const PlanStage& stage, const Border& before,
             const Border& behind)
      : profile_(profile), stage_(stage), before_(before), behind_(behind) {}

  /// Time at `samples` as a part of the time at `full` samples.
  double ratio(Pass pass, std::int64_t samples, std::int64_t full) const {
    if (samples == full) return 1;
    const double full_ns = pass_ns(pass, full);
    return full_ns > 0 ? pass_ns(pass, samples) / full_ns
                       : static_cast<double>(samples) / static_cast<double>(full);
  }

  /// The slowest replica's transfer of its part of what crosses a border.
  double transfer_ns(const Crossing& crossing, std::int64_t samples) const {
    const auto shares = shares_of(stage_.shares, samples);
    double slowest = 0;
    for (std::size_t r = 0; r < shares.size(); ++r) {
      slowest = std::max(slowest, transfer_ns(crossing, r, shares[r], samples));
    }
    return slowest;
  }

 private:
  double pass_ns(Pass pass, std::int64_t samples) const {
    const auto shares = shares_of(stage_.shares, samples);
    double slowest = 0;
    for (std::size_t r = 0; r < shares.size(); ++r) {
      double sum = 0;
      for (const std::string& name : stage_.layers) {
        const LayerCosts* const layer = find_layer(profile_, name);
        if (layer == nullptr) return 0;
        sum += layer_ns(*layer, pass, r, shares[r], samples);
      }
      if (!profile_.overlapped_transfers) sum += transfers_ns(pass, r, shares[r], samples);
      slowest = std::max(slowest, sum);
    }
    return slowest;
  }

  double layer_ns(const LayerCosts& layer, Pass pass, std::size_t replica, std::int64_t share,
                  std::int64_t samples) const {
    const double own = curve_ns(layer, pass, replica, share, samples);
    const bool again = pass == Pass::backward && contains(stage_.recompute, layer.name);
    return again ? own + curve_ns(layer, Pass::forward, replica, share, samples) : own;
  }

  double curve_ns(const LayerCosts& layer, Pass pass, std::size_t replica, std::int64_t share,
                  std::int64_t samples) const {
    const std::string& kind = kind_of(replica);
    const bool sliced = contains(stage_.feature_layers, layer.name);
    const auto width = static_cast<int>(stage_.devices.size());
    const std::vector<double>* curve = nullptr;
    if (sliced) curve = find_curve(layer.features_ns, pass, kind, width);
    if (stage_.split == Split::threads) {
      curve = find_curve(layer.threads_ns, pass, kind, stage_.threads_each());
    }
    if (curve == nullptr) {
      curve = find_curve(pass == Pass::forward ? layer.forward_ns : layer.backward_ns, kind);
    }
    if (curve == nullptr) return 0;
    return interpolate_ns(profile_.samples, *curve, static_cast<double>(sliced ? samples : share));
  }

  double transfers_ns(Pass pass, std::size_t replica, std::int64_t share,
                      std::int64_t samples) const {
    const auto crossing = pass == Pass::forward ? &Border::activations : &Border::gradients;
    return transfer_ns(before_.*crossing, replica, share, samples) +
           transfer_ns(behind_.*crossing, replica, share, samples);
  }

  /// Where features are split every device needs the whole micro-batch.
  double transfer_ns(const Crossing& crossing, std::size_t replica, std::int64_t share,
                     std::int64_t samples) const {
    const int kind = profile_.kind_index(kind_of(replica));
    const std::int64_t count = stage_.split == Split::features ? samples : share;
    if (kind < 0 || count == 0) return 0;
    const DeviceKind& device = profile_.kinds[static_cast<std::size_t>(kind)];
    return crossing.bytes_per_sample * static_cast<double>(count) * device.link_ns_per_byte +
           crossing.tensors * device.link_latency_ns;
  }

  const std::string& kind_of(std::size_t replica) const {
    const std::size_t devices_each =
        std::max<std::size_t>(1, stage_.devices.size() / stage_.shares.size());
    return stage_.devices.at(replica * devices_each).kind;
  }

  const Profile& profile_;
  const PlanStage& stage_;
  const Border& before_;
  const Border& behind_;
};

/// Where transfers occupy the device they are part of the plan's stage times; where they overlap,
/// they delay the receiver: each passes the sender's link, then the receiver's.
void add_links(const std::vector<StageCosts>& costs, const std::vector<Border>& borders,
               const std::vector<std::int64_t>& micro_batches, std::vector<StageTimes>& times) {
  for (std::size_t s = 0; s + 1 < costs.size(); ++s) {
    const auto delay = [&](const Crossing& crossing, std::int64_t samples) {
      return costs[s].transfer_ns(crossing, samples) + costs[s + 1].transfer_ns(crossing, samples);
    };
    for (const std::int64_t n : micro_batches) {
      times[s].send_forward_ns.push_back(delay(borders[s + 1].activations, n));
      times[s + 1].send_backward_ns.push_back(delay(borders[s + 1].gradients, n));
    }
  }
}

}  // namespace

std::vector<std::int64_t> micro_batches_of(const Plan& plan, std::int64_t samples) {
  MILLRACE_CHECK(plan.micro_batch >= 1 && samples >= 1, "estimate",
                 "a step needs samples and a micro-batch size");
  std::vector<std::int64_t> result(static_cast<std::size_t>(samples / plan.micro_batch),
                                   plan.micro_batch);
  if (samples % plan.micro_batch != 0) result.push_back(samples % plan.micro_batch);
  return result;
}

std::vector<StageTimes> stage_times(const Profile& profile, const Plan& plan,
                                    const std::vector<std::int64_t>& micro_batches) {
  const auto borders = borders_of(profile, plan);
  std::vector<StageCosts> costs;
  std::vector<StageTimes> times(plan.stages.size());
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const PlanStage& stage = plan.stages[s];
    costs.emplace_back(profile, stage, borders[s], borders[s + 1]);
    for (const std::int64_t n : micro_batches) {
      const std::int64_t full = plan.micro_batch;
      times[s].forward_ns.push_back(stage.forward_ns * costs[s].ratio(Pass::forward, n, full));
      times[s].backward_ns.push_back(stage.backward_ns * costs[s].ratio(Pass::backward, n, full));
    }
    times[s].update_ns = stage.update_ns;
  }
  if (profile.overlapped_transfers) add_links(costs, borders, micro_batches, times);
  return times;
}

}  // namespace millrace
