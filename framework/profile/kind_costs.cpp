#include "framework/profile/kind_costs.hpp"

#include <optional>
#include <utility>

#include "framework/profile/measuring.hpp"

namespace millrace {
namespace {

std::vector<double> scaled(std::vector<double> curve, double factor) {
  for (double& ns : curve) ns *= factor;
  return curve;
}

/// Of the width that was measured, or of the widest one, as much faster as it is wider.
std::vector<double> at_width(const PerWidth& measured, int width) {
  const auto same = measured.find(width);
  if (same != measured.end()) return same->second;
  const auto& [widest, curve] = *measured.rbegin();
  return scaled(curve, static_cast<double>(widest) / width);
}

/// Costs of one layer on every kind.
class LayerOfKinds {
 public:
  explicit LayerOfKinds(const LayerCosts& measured) : measured_(measured), result_(measured) {
    result_.forward_ns.clear();
    result_.backward_ns.clear();
    result_.input_gradient_ns.clear();
    result_.weight_gradient_ns.clear();
    result_.update_ns.clear();
    result_.loaded.clear();
    result_.implementation.clear();
    for (auto* widths : {&result_.threads_ns, &result_.features_ns})
      if (*widths) **widths = {};
  }

  void add(const KindOrigin& origin) {
    const std::string& kind = origin.kind.name;
    const auto take = [&](const auto& from, auto& to) {
      const auto found = from.find(origin.measured);
      if (found != from.end()) to[kind] = found->second;
    };
    take(measured_.forward_ns, result_.forward_ns);
    take(measured_.backward_ns, result_.backward_ns);
    take(measured_.input_gradient_ns, result_.input_gradient_ns);
    take(measured_.weight_gradient_ns, result_.weight_gradient_ns);
    take(measured_.update_ns, result_.update_ns);
    take(measured_.loaded, result_.loaded);
    take(measured_.implementation, result_.implementation);
    for (PerKind* costs : {&result_.forward_ns, &result_.backward_ns, &result_.input_gradient_ns,
                           &result_.weight_gradient_ns})
      if (costs->contains(kind)) costs->at(kind) = scaled(costs->at(kind), 1 / origin.speed);
    if (result_.update_ns.contains(kind)) result_.update_ns[kind] /= origin.speed;
    add_widths(measured_.threads_ns, result_.threads_ns, origin);
    add_widths(measured_.features_ns, result_.features_ns, origin);
  }

  LayerCosts finish() && {
    for (auto* widths : {&result_.threads_ns, &result_.features_ns})
      if (*widths && (*widths)->forward.empty()) widths->reset();
    return std::move(result_);
  }

 private:
  static void add_widths(const std::optional<PassWidths>& from, std::optional<PassWidths>& to,
                         const KindOrigin& origin) {
    if (!from || !from->forward.contains(origin.measured)) return;
    using Part = std::map<std::string, PerWidth> PassWidths::*;
    for (const Part part : {&PassWidths::forward, &PassWidths::backward,
                            &PassWidths::input_gradient, &PassWidths::weight_gradient}) {
      const auto measured = ((*from).*part).find(origin.measured);
      if (measured == ((*from).*part).end()) continue;
      for (const int width : team_widths(origin.kind.count))
        ((*to).*part)[origin.kind.name][width] =
            scaled(at_width(measured->second, width), 1 / origin.speed);
    }
  }

  const LayerCosts& measured_;
  LayerCosts result_;
};

}  // namespace

Profile costs_of_kinds(const Profile& measured, const std::vector<KindOrigin>& kinds) {
  Profile result = measured;
  result.kinds.clear();
  result.layers.clear();
  for (const KindOrigin& origin : kinds) result.kinds.push_back(origin.kind);
  for (const LayerCosts& layer : measured.layers) {
    LayerOfKinds of_kinds(layer);
    for (const KindOrigin& origin : kinds) of_kinds.add(origin);
    result.layers.push_back(std::move(of_kinds).finish());
  }
  return result;
}

}  // namespace millrace
