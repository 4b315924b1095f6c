#include "framework/plan/layer_sums.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace millrace {
namespace {

using Curve = std::vector<double>;
using Curves = std::vector<const Curve*>;  // [position]; nullptr: not measured or not allowed

bool lists(const LayerCosts& layer, const std::string& split) {
  return std::find(layer.splits.begin(), layer.splits.end(), split) != layer.splits.end();
}

/// What a curve is of.
enum class Part { forward, backward, input_gradient, weight_gradient };

template <typename Passes>
const auto& curves_of(const Passes& passes, Part part) {
  if (part == Part::forward) return passes.forward;
  if (part == Part::backward) return passes.backward;
  return part == Part::input_gradient ? passes.input_gradient : passes.weight_gradient;
}

const PerKind& curves_of(const LayerCosts& layer, Part part) {
  if (part == Part::forward) return layer.forward_ns;
  if (part == Part::backward) return layer.backward_ns;
  return part == Part::input_gradient ? layer.input_gradient_ns : layer.weight_gradient_ns;
}

bool has_gradient(const LayerCosts& layer) { return layer.deferred_bytes == 0; }

const Curve* find_curve(const PerKind& kinds, const std::string& kind) {
  const auto found = kinds.find(kind);
  return found == kinds.end() ? nullptr : &found->second;
}

const Curve* find_curve(const std::map<std::string, PerWidth>& kinds, const std::string& kind,
                        int width) {
  const auto widths = kinds.find(kind);
  if (widths == kinds.end()) return nullptr;
  const auto found = widths->second.find(width);
  return found == widths->second.end() ? nullptr : &found->second;
}

std::set<int> measured_widths(const Profile& profile, const std::string& kind,
                              std::optional<PassWidths> LayerCosts::*field) {
  std::set<int> result;
  for (const LayerCosts& layer : profile.layers) {
    const auto& passes = layer.*field;
    if (!passes || !passes->forward.contains(kind)) continue;
    for (const auto& [width, ns] : passes->forward.at(kind)) result.insert(width);
  }
  return result;
}

/// Makes the sums of one profile.
class Builder {
 public:
  Builder(const Profile& profile, LayerSums& sums) : profile_(profile), sums_(sums) {}

  void build() {
    sums_.splits_backward = profile_.training && profile_.splits_backward();
    for (const DeviceKind& kind : profile_.kinds) build_kind(kind.name);
    sums_.sliceable = sliceable([&](int p) { return lists(at(p), "features"); });
    sums_.weights_bytes = sums([](const LayerCosts& layer) { return layer.weights_bytes; });
    sums_.saved_bytes = sums([](const LayerCosts& layer) { return layer.saved_bytes; });
    sums_.deferred_bytes = sums([](const LayerCosts& layer) { return layer.deferred_bytes; });
    sums_.gradient_bytes =
        sums([](const LayerCosts& layer) { return has_gradient(layer) ? layer.weights_bytes : 0; });
    if (sums_.splits_backward)
      sums_.weight_gradient_bytes =
          sums([](const LayerCosts& layer) { return layer.weight_gradient_bytes; });
    sums_.whole_only = sums([](const LayerCosts& layer) {
      return layer.splits.empty() || lists(layer, "samples") ? 0 : 1;
    });
  }

 private:
  int size() const { return static_cast<int>(sums_.graph.order.size()); }
  const LayerCosts& at(int position) const { return profile_.layers[sums_.graph.order[position]]; }

  template <typename Value>
  NumberSums sums(const Value& value) const {
    std::vector<double> values;
    for (int p = 0; p < size(); ++p) values.push_back(value(at(p)));
    return NumberSums(sums_.cuts, values);
  }

  std::vector<double> factors(const std::string& kind, bool loaded) const {
    std::vector<double> result;
    for (int p = 0; p < size(); ++p) {
      const auto found = at(p).loaded.find(kind);
      result.push_back(loaded && found != at(p).loaded.end() ? found->second : 1.0);
    }
    return result;
  }

  /// find(layer, part) gives the curve of a layer or nullptr.
  template <typename Find>
  CurveSums part_times(const std::string& kind, Part part, bool loaded, const Find& find) const {
    const Curve nothing(profile_.samples.size(), 0.0);
    Curves curves;
    for (int p = 0; p < size(); ++p) {
      const Curve* curve = find(at(p), part);
      if (part == Part::backward && !profile_.training) curve = &nothing;
      if (part == Part::input_gradient && !curve) curve = find(at(p), Part::backward);
      if (part == Part::weight_gradient && !curve) curve = &nothing;
      curves.push_back(curve);
    }
    return CurveSums(sums_.cuts, curves, factors(kind, loaded), profile_.samples.size());
  }

  template <typename Find>
  LoadedSums times(const std::string& kind, const Find& find) const {
    const auto passes = [&](bool loaded) {
      PassSums result{part_times(kind, Part::forward, loaded, find),
                      part_times(kind, Part::backward, loaded, find),
                      {},
                      {}};
      if (!sums_.splits_backward) return result;
      result.input_gradient = part_times(kind, Part::input_gradient, loaded, find);
      result.weight_gradient = part_times(kind, Part::weight_gradient, loaded, find);
      return result;
    };
    return {passes(false), passes(true)};
  }

  LoadedSums team_times(const std::string& kind, int width, const std::string& split,
                        std::optional<PassWidths> LayerCosts::*field) const {
    return times(kind, [&](const LayerCosts& layer, Part part) -> const Curve* {
      const auto& passes = layer.*field;
      if (!passes || !lists(layer, split) || !layer.forward_ns.contains(kind)) return nullptr;
      return find_curve(curves_of(*passes, part), kind, width);
    });
  }

  FeatureSums feature_sums(const std::string& kind, int width) const {
    FeatureSums result;
    result.times = team_times(kind, width, "features", &LayerCosts::features_ns);
    result.layers = sliceable([&](int p) {
      return result.times.alone.covers(sums_.cuts.prefix(p), sums_.cuts.prefix(p + 1));
    });
    return result;
  }

  /// `member` by position.
  template <typename Member>
  SliceableLayers sliceable(const Member& member) const {
    SliceableLayers result;
    std::vector<double> starts;
    for (int p = 0; p < size(); ++p) {
      result.members.push_back(member(p));
      result.starts.push_back(result.members.back() && at(p).type == "linear");
      starts.push_back(result.starts.back() ? 1 : 0);
    }
    result.start_count = NumberSums(sums_.cuts, starts);
    return result;
  }

  void build_update(const std::string& kind) {
    const auto ns = [&](const LayerCosts& layer) {
      const auto found = layer.update_ns.find(kind);
      return found == layer.update_ns.end() || !profile_.training ? 0 : found->second;
    };
    const auto loaded_ns = [&](const LayerCosts& layer) {
      const auto found = layer.loaded.find(kind);
      return ns(layer) * (found == layer.loaded.end() ? 1 : found->second);
    };
    sums_.update_alone.push_back(sums(ns));
    sums_.update_loaded.push_back(sums(loaded_ns));
    sums_.reduce_alone.push_back(
        sums([&](const LayerCosts& layer) { return has_gradient(layer) ? ns(layer) : 0; }));
    sums_.reduce_loaded.push_back(
        sums([&](const LayerCosts& layer) { return has_gradient(layer) ? loaded_ns(layer) : 0; }));
  }

  void build_kind(const std::string& kind) {
    const int k = profile_.kind_index(kind);
    sums_.singles.push_back(times(kind, [&](const LayerCosts& layer, Part part) {
      return find_curve(curves_of(layer, part), kind);
    }));
    build_update(kind);
    for (const int width : measured_widths(profile_, kind, &LayerCosts::threads_ns)) {
      sums_.threads[{k, width}] = team_times(kind, width, "threads", &LayerCosts::threads_ns);
    }
    for (const int width : measured_widths(profile_, kind, &LayerCosts::features_ns)) {
      sums_.features[{k, width}] = feature_sums(kind, width);
    }
  }

  const Profile& profile_;
  LayerSums& sums_;
};

}  // namespace

NumberSums::NumberSums(const Cuts& cuts, const std::vector<double>& values) : sums_(1, 0.0) {
  for (int cut = 1; cut < cuts.size(); ++cut) {
    sums_.push_back(sums_[cuts.parent(cut)] + values[cuts.added(cut)]);
  }
}

FeatureRun SliceableLayers::run(const Cuts& cuts, int first, int last) const {
  if (start_count.sum(first, last) == 0) return {};
  std::vector<int> before, inside;
  bool ended = false;
  cuts.visit_members(first, last, [&](int position) {
    const bool begins = inside.empty() && starts[position];
    if (inside.empty() && !begins) {
      before.push_back(position);
    } else if (!ended && members[position]) {
      inside.push_back(position);
    } else {
      ended = true;
    }
  });
  const int begin = cuts.with(first, before);
  const int end = begin < 0 ? -1 : cuts.with(begin, inside);
  return end < 0 ? FeatureRun{} : FeatureRun{begin, end};
}

std::int64_t LayerSums::bytes() const {
  std::int64_t bytes = cuts.bytes();
  for (const LoadedSums& sums : singles) bytes += sums.bytes();
  for (const auto& [width, sums] : threads) bytes += sums.bytes();
  for (const auto& [width, sums] : features)
    bytes += sums.times.bytes() + sums.layers.start_count.bytes();
  const auto kinds = static_cast<std::int64_t>(singles.size());
  constexpr std::int64_t kPerKind = 4, kOfAll = 6;  // the other members
  return bytes + (kPerKind * kinds + kOfAll) * weights_bytes.bytes() +
         weight_gradient_bytes.bytes();
}

LayerSums::LayerSums(const Profile& profile, int most_cuts)
    : graph(plan_graph(profile)), cuts(graph, most_cuts) {
  Builder(profile, *this).build();
}

}  // namespace millrace
