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

/// Makes the sums of one profile's chain.
class Builder {
 public:
  Builder(const Profile& profile, LayerSums& sums) : profile_(profile), sums_(sums) {}

  void build() {
    for (const DeviceKind& kind : profile_.kinds) build_kind(kind.name);
    for (int p = 0; p < sums_.chain.size(); ++p) {
      const LayerCosts& layer = at(p);
      sums_.weights_bytes.add(layer.weights_bytes);
      sums_.saved_bytes.add(layer.saved_bytes);
      sums_.deferred_bytes.add(layer.deferred_bytes);
      sums_.gradient_bytes.add(has_gradient(layer) ? layer.weights_bytes : 0);
      sums_.whole_only.add(layer.splits.empty() || lists(layer, "samples") ? 0 : 1);
      sums_.workspace_bytes.push_back(layer.workspace_bytes);
    }
  }

 private:
  const LayerCosts& at(int position) const { return profile_.layers[sums_.chain.layers[position]]; }

  std::vector<double> factors(const std::string& kind, bool loaded) const {
    std::vector<double> result;
    for (int p = 0; p < sums_.chain.size(); ++p) {
      const auto found = at(p).loaded.find(kind);
      result.push_back(loaded && found != at(p).loaded.end() ? found->second : 1.0);
    }
    return result;
  }

  /// find(layer, backward) gives the curve of a layer or nullptr.
  template <typename Find>
  LoadedSums times(const std::string& kind, const Find& find) const {
    const auto pass = [&](bool backward, bool loaded) {
      const Curve nothing(profile_.samples.size(), 0.0);
      Curves curves;
      for (int p = 0; p < sums_.chain.size(); ++p) {
        curves.push_back(backward && !profile_.training ? &nothing : find(at(p), backward));
      }
      return CurveSums(curves, factors(kind, loaded), profile_.samples.size());
    };
    return {{pass(false, false), pass(true, false)}, {pass(false, true), pass(true, true)}};
  }

  LoadedSums team_times(const std::string& kind, int width, const std::string& split,
                        std::optional<PassWidths> LayerCosts::*field) const {
    return times(kind, [&](const LayerCosts& layer, bool backward) -> const Curve* {
      const auto& passes = layer.*field;
      if (!passes || !lists(layer, split) || !layer.forward_ns.contains(kind)) return nullptr;
      return find_curve(backward ? passes->backward : passes->forward, kind, width);
    });
  }

  FeatureSums feature_sums(const std::string& kind, int width) const {
    FeatureSums result;
    result.times = team_times(kind, width, "features", &LayerCosts::features_ns);
    const int size = sums_.chain.size();
    result.next_start.assign(size + 1, size);
    result.run_end.assign(size + 1, size);
    for (int p = size - 1; p >= 0; --p) {
      const bool member = result.times.alone.covers(p, p + 1);
      const bool start = member && at(p).type == "linear";
      result.next_start[p] = start ? p : result.next_start[p + 1];
      result.run_end[p] = member ? result.run_end[p + 1] : p;
    }
    return result;
  }

  void build_update(const std::string& kind) {
    NumberSums alone, loaded, reduce_alone, reduce_loaded;
    const auto factor = factors(kind, true);
    for (int p = 0; p < sums_.chain.size(); ++p) {
      const auto found = at(p).update_ns.find(kind);
      const double ns = found == at(p).update_ns.end() ? 0 : found->second;
      alone.add(ns);
      loaded.add(ns * factor[p]);
      const double reduced_ns = has_gradient(at(p)) ? ns : 0;
      reduce_alone.add(reduced_ns);
      reduce_loaded.add(reduced_ns * factor[p]);
    }
    sums_.update_alone.push_back(alone);
    sums_.update_loaded.push_back(loaded);
    sums_.reduce_alone.push_back(reduce_alone);
    sums_.reduce_loaded.push_back(reduce_loaded);
  }

  void build_kind(const std::string& kind) {
    const int k = profile_.kind_index(kind);
    sums_.singles.push_back(times(kind, [&](const LayerCosts& layer, bool backward) {
      return find_curve(backward ? layer.backward_ns : layer.forward_ns, kind);
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

FeatureRun FeatureSums::run(int first, int last) const {
  const int start = next_start[first];
  if (start >= last) return {};
  return {start, std::min(run_end[start], last)};
}

LayerSums::LayerSums(const Profile& profile, Chain in_order) : chain(std::move(in_order)) {
  Builder(profile, *this).build();
}

}  // namespace millrace
