#include "framework/profile/board_costs.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "framework/profile/measuring.hpp"

namespace millrace {
namespace {

constexpr double kMemoryShare = 0.9;  // the rest is the system's

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

/// Costs of one layer on every kind of the board.
class BoardLayer {
 public:
  BoardLayer(const LayerCosts& measured, const std::string& base)
      : measured_(measured), base_(base), result_(measured) {
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

  void add(const std::string& kind, int cores, double speed) {
    const auto take = [&](const auto& from, auto& to) {
      if (const auto found = from.find(base_); found != from.end()) to[kind] = found->second;
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
      if (costs->contains(kind)) costs->at(kind) = scaled(costs->at(kind), 1 / speed);
    if (result_.update_ns.contains(kind)) result_.update_ns[kind] /= speed;
    add_widths(measured_.threads_ns, result_.threads_ns, kind, cores, speed);
    add_widths(measured_.features_ns, result_.features_ns, kind, cores, speed);
  }

  LayerCosts finish() && {
    for (auto* widths : {&result_.threads_ns, &result_.features_ns})
      if (*widths && (*widths)->forward.empty()) widths->reset();
    return std::move(result_);
  }

 private:
  void add_widths(const std::optional<PassWidths>& from, std::optional<PassWidths>& to,
                  const std::string& kind, int cores, double speed) const {
    if (!from || !from->forward.contains(base_)) return;
    using Part = std::map<std::string, PerWidth> PassWidths::*;
    for (const Part part : {&PassWidths::forward, &PassWidths::backward,
                            &PassWidths::input_gradient, &PassWidths::weight_gradient}) {
      if (!((*from).*part).contains(base_)) continue;
      for (const int width : team_widths(cores))
        ((*to).*part)[kind][width] = scaled(at_width(((*from).*part).at(base_), width), 1 / speed);
    }
  }

  const LayerCosts& measured_;
  const std::string& base_;
  LayerCosts result_;
};

}  // namespace

Profile board_costs(const Profile& measured, const Topology& board) {
  Profile result = measured;
  result.kinds.clear();
  result.layers.clear();
  result.shared_memory_bytes = kMemoryShare * static_cast<double>(board.memory_bytes);
  for (const CoreKind& kind : board.kinds)
    result.kinds.push_back({kind.name, static_cast<int>(device_cpus(board, kind).size())});
  for (const LayerCosts& layer : measured.layers) {
    BoardLayer scaled_layer(layer, measured.kinds.front().name);
    for (std::size_t k = 0; k < board.kinds.size(); ++k)
      scaled_layer.add(result.kinds[k].name, result.kinds[k].count, board.kinds[k].relative_speed);
    result.layers.push_back(std::move(scaled_layer).finish());
  }
  return result;
}

}  // namespace millrace
