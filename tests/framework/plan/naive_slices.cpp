// The oracle's view of layers that are divided by output features.

#include <algorithm>

#include "tests/framework/plan/naive_costs.hpp"

namespace millrace::oracle {

/// Part of the features that a device of kind k computes, for micro-batches of b samples.
double NaiveCosts::feature_part(const Shape& shape, int k, std::int64_t b) const {
  const Set run = run_of(shape);
  double speed = 0, own = 0;
  for (std::size_t other = 0; other < shape.devices.size(); ++other) {
    if (shape.devices[other] == 0) continue;
    const std::string& name = profile_.kinds[other].name;
    double ns = 0;
    for (const int p : members(shape)) {
      if (!in(run, p)) continue;
      const auto add = [&](const PerKind& curves) {
        ns += factor(layers_[p], name, true) *
              interpolate_ns(profile_.samples, curves.at(name), double(b));
      };
      add(layers_[p].forward_ns);
      if (profile_.training) add(layers_[p].backward_ns);
    }
    if (ns == 0) return 1.0 / all_devices(shape);
    speed += shape.devices[other] / ns;
    if (int(other) == k) own = 1 / ns;
  }
  return own / speed;
}

/// The devices wait for each other before and behind their slices, of `samples` of a micro-batch of
/// b: to each comes what the slowest takes.
void NaiveCosts::add_slices(const Shape& shape, std::int64_t b, std::int64_t samples, bool sole,
                            std::vector<Device>& devices) const {
  double forward = 0, backward = 0;
  const int all = all_devices(shape);
  for (std::size_t k = 0; k < shape.devices.size(); ++k) {
    if (shape.devices[k] == 0) continue;
    const std::string& name = profile_.kinds[k].name;
    double own_forward = 0, own_backward = 0;
    for (const int p : members(shape)) {
      if (!in(run_of(shape), p)) continue;
      const LayerCosts& layer = layers_[p];
      const bool measured = alike(shape);
      const double part = measured ? 1 : feature_part(shape, int(k), b);
      const double busy = part * factor(layer, name, !sole || all > (measured ? all : 1));
      const auto ns = [&](const PerKind& single, const std::map<std::string, PerWidth>& team) {
        const auto& curve = measured ? team.at(name).at(all) : single.at(name);
        return busy * interpolate_ns(profile_.samples, curve, double(samples));
      };
      const PassWidths none, &passes = measured ? *layer.features_ns : none;
      own_forward += ns(layer.forward_ns, passes.forward);
      if (profile_.training) own_backward += ns(layer.backward_ns, passes.backward);
    }
    forward = std::max(forward, own_forward);
    backward = std::max(backward, own_backward);
  }
  for (Device& device : devices) {
    device.forward += forward;
    device.backward += backward + (shape.recompute ? forward : 0);
    device.input_gradient += backward + (shape.recompute ? forward : 0);
  }
}

}  // namespace millrace::oracle
