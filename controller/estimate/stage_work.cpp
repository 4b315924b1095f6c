#include "controller/estimate/stage_work.hpp"

#include <algorithm>
#include <string>

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

/// Costs of one stage by the profile alone. Only ratios of them are used: what the planner knows
/// besides (load factors, transfers, refinement on the machine) is in the plan's own times.
class StageCosts {
 public:
  StageCosts(const Profile& profile, const PlanStage& stage) : profile_(profile), stage_(stage) {}

  /// Time at `samples` as a part of the time at `full` samples.
  double ratio(Pass pass, std::int64_t samples, std::int64_t full) const {
    if (samples == full) return 1;
    const double full_ns = pass_ns(pass, full);
    return full_ns > 0 ? pass_ns(pass, samples) / full_ns
                       : static_cast<double>(samples) / static_cast<double>(full);
  }

 private:
  /// The replicas of a stage meet at its end; those of a feature split after every layer.
  double pass_ns(Pass pass, std::int64_t samples) const {
    const auto shares = shares_of(stage_.shares, samples);
    double meeting = 0;
    std::vector<double> replica_ns(shares.size(), 0);
    for (const std::string& name : stage_.layers) {
      const LayerCosts* const layer = find_layer(profile_, name);
      if (layer == nullptr) return 0;
      double slowest = 0;
      for (std::size_t r = 0; r < shares.size(); ++r) {
        const double cost = layer_ns(*layer, pass, r, shares[r], samples);
        replica_ns[r] += cost;
        slowest = std::max(slowest, cost);
      }
      meeting += slowest;
    }
    return stage_.split == Split::features
               ? meeting
               : *std::max_element(replica_ns.begin(), replica_ns.end());
  }

  double layer_ns(const LayerCosts& layer, Pass pass, std::size_t replica, std::int64_t share,
                  std::int64_t samples) const {
    const double own = curve_ns(layer, pass, replica, share, samples);
    const bool again = pass == Pass::backward && contains(stage_.recompute, layer.name);
    return again ? own + curve_ns(layer, Pass::forward, replica, share, samples) : own;
  }

  double curve_ns(const LayerCosts& layer, Pass pass, std::size_t replica, std::int64_t share,
                  std::int64_t samples) const {
    const auto width = static_cast<int>(stage_.devices.size());
    const std::string& kind = kind_of(replica);
    const bool sliced = contains(stage_.feature_layers, layer.name);
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

  const std::string& kind_of(std::size_t replica) const {
    const std::size_t devices_each =
        std::max<std::size_t>(1, stage_.devices.size() / stage_.shares.size());
    return stage_.devices.at(replica * devices_each).kind;
  }

  const Profile& profile_;
  const PlanStage& stage_;
};

/// Stage of each layer; -1 for layers that the plan does not have.
int stage_of(const Plan& plan, const std::string& layer) {
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    if (contains(plan.stages[s].layers, layer)) return static_cast<int>(s);
  }
  return -1;
}

/// Bytes per sample of every tensor that crosses the border between stages s and s + 1, each once.
std::vector<double> activations_across(const Profile& profile, const Plan& plan, int s) {
  std::vector<double> bytes;
  for (const TensorCosts& tensor : profile.tensors) {
    const auto behind = [&](const std::string& layer) { return stage_of(plan, layer) > s; };
    if (!tensor.backward && stage_of(plan, tensor.from) <= s &&
        std::any_of(tensor.to.begin(), tensor.to.end(), behind)) {
      bytes.push_back(tensor.bytes);
    }
  }
  return bytes;
}

/// The same for the gradients on their way back: explicit tensors, and for every activation whose
/// consumers have none the activation's own size.
std::vector<double> gradients_across(const Profile& profile, const Plan& plan, int s) {
  std::vector<double> bytes;
  const auto behind = [&](const std::string& layer) { return stage_of(plan, layer) > s; };
  const auto explicit_from = [&](const std::string& consumer, const std::string& producer) {
    return std::any_of(profile.tensors.begin(), profile.tensors.end(), [&](const auto& tensor) {
      return tensor.backward && tensor.from == consumer && contains(tensor.to, producer);
    });
  };
  for (const TensorCosts& tensor : profile.tensors) {
    const auto sends = [&](const std::string& other) {
      return tensor.backward ? !behind(other) : behind(other) && !explicit_from(other, tensor.from);
    };
    if (behind(tensor.from) == tensor.backward &&
        std::any_of(tensor.to.begin(), tensor.to.end(), sends)) {
      bytes.push_back(tensor.bytes);
    }
  }
  return bytes;
}

double transfer_ns(const Profile& profile, const PlanStage& stage, double bytes) {
  const int kind = profile.kind_index(stage.devices.at(0).kind);
  if (kind < 0) return 0;
  const DeviceKind& device = profile.kinds[static_cast<std::size_t>(kind)];
  return bytes * device.link_ns_per_byte + device.link_latency_ns;
}

/// Each tensor is sent by a device of one stage and received by one of the other.
double link_ns(const Profile& profile, const PlanStage& from, const PlanStage& to,
               const std::vector<double>& bytes, std::int64_t samples) {
  double sum = 0;
  for (const double each : bytes) {
    const double all = each * static_cast<double>(samples);
    sum += transfer_ns(profile, from, all) + transfer_ns(profile, to, all);
  }
  return sum;
}

/// Where transfers occupy the device they are part of the plan's stage times; where they overlap,
/// they delay the receiver.
void add_links(const Profile& profile, const Plan& plan,
               const std::vector<std::int64_t>& micro_batches, std::vector<StageTimes>& times) {
  for (std::size_t s = 0; s + 1 < plan.stages.size(); ++s) {
    const auto forward = activations_across(profile, plan, static_cast<int>(s));
    const auto backward = gradients_across(profile, plan, static_cast<int>(s));
    const PlanStage& near = plan.stages[s];
    const PlanStage& far = plan.stages[s + 1];
    for (const std::int64_t n : micro_batches) {
      times[s].send_forward_ns.push_back(link_ns(profile, near, far, forward, n));
      times[s + 1].send_backward_ns.push_back(link_ns(profile, far, near, backward, n));
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
  std::vector<StageTimes> times(plan.stages.size());
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const PlanStage& stage = plan.stages[s];
    const StageCosts costs(profile, stage);
    for (const std::int64_t n : micro_batches) {
      const std::int64_t full = plan.micro_batch;
      times[s].forward_ns.push_back(stage.forward_ns * costs.ratio(Pass::forward, n, full));
      times[s].backward_ns.push_back(stage.backward_ns * costs.ratio(Pass::backward, n, full));
    }
    times[s].update_ns = stage.update_ns;
  }
  if (profile.overlapped_transfers) add_links(profile, plan, micro_batches, times);
  return times;
}

}  // namespace millrace
