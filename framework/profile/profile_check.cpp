// The rules of a cost graph that hold for values as for files; places are those of the JSON form.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "millrace/errors.hpp"
#include "millrace/profile.hpp"

namespace millrace {
namespace {

class Checker {
 public:
  Checker(const Profile& profile, const std::string& origin) : profile_(profile), origin_(origin) {}

  void run() {
    check_samples();
    check_kinds();
    budget("shared_memory_bytes", profile_.shared_memory_bytes);
    cost("bytes_per_weight_byte", profile_.bytes_per_weight_byte);
    if (profile_.loader_ns_per_sample) cost("loader_ns_per_sample", *profile_.loader_ns_per_sample);
    check_layers();
    check_tensors();
    check_order();
  }

 private:
  [[noreturn]] void fail(const std::string& place, const std::string& problem) const {
    throw ConfigError("costs", fmt::format("{}: {} {}", origin_, place, problem));
  }

  void cost(const std::string& place, double value) const {
    if (!std::isfinite(value) || value < 0) {
      fail(place, fmt::format("is {}, a finite number of at least 0 is needed", value));
    }
  }

  void budget(const std::string& place, const std::optional<double>& value) const {
    if (value) cost(place, *value);
  }

  void check_samples() const {
    if (profile_.samples.empty()) fail("samples", "is empty: name the counts that were measured");
    std::int64_t before = 0;
    for (const std::int64_t count : profile_.samples) {
      if (count <= before) {
        fail("samples", fmt::format("has {} after {}: sort whole numbers from 1 up, each once",
                                    count, before));
      }
      before = count;
    }
  }

  void check_kinds() const {
    if (profile_.kinds.empty()) fail("kinds", "is empty: at least one kind of device is needed");
    std::set<std::string> names;
    for (std::size_t i = 0; i < profile_.kinds.size(); ++i) {
      const DeviceKind& kind = profile_.kinds[i];
      const std::string place = fmt::format("kinds[{}].", i);
      if (kind.name.empty()) fail(place + "name", "is empty: give each kind a name");
      if (!names.insert(kind.name).second) {
        fail(place + "name", fmt::format("\"{}\" is there twice: names are unique", kind.name));
      }
      if (kind.count < 1) {
        fail(place + "count",
             fmt::format("is {}, at least 1 is needed: or leave the kind out", kind.count));
      }
      budget(place + "memory_bytes", kind.memory_bytes);
      cost(place + "link_ns_per_byte", kind.link_ns_per_byte);
      cost(place + "link_latency_ns", kind.link_latency_ns);
    }
  }

  void known_kind(const std::string& place, const std::string& kind) const {
    if (profile_.kind_index(kind) < 0) {
      fail(place, fmt::format("is for the kind \"{}\", which is not in kinds: add it there or "
                              "correct the name",
                              kind));
    }
  }

  void curve(const std::string& place, const std::vector<double>& ns) const {
    if (ns.size() != profile_.samples.size()) {
      fail(place, fmt::format("has {} entries, samples has {}: one cost per sample count is needed",
                              ns.size(), profile_.samples.size()));
    }
    for (std::size_t i = 0; i < ns.size(); ++i) cost(fmt::format("{}[{}]", place, i), ns[i]);
  }

  void curves(const std::string& place, const PerKind& kinds) const {
    for (const auto& [kind, ns] : kinds) {
      known_kind(place + "." + kind, kind);
      curve(place + "." + kind, ns);
    }
  }

  void costs(const std::string& place, const std::map<std::string, double>& kinds) const {
    for (const auto& [kind, value] : kinds) {
      known_kind(place + "." + kind, kind);
      cost(place + "." + kind, value);
    }
  }

  void pass(const std::string& place, const std::map<std::string, PerWidth>& kinds) const {
    for (const auto& [kind, widths] : kinds) {
      known_kind(place + "." + kind, kind);
      for (const auto& [width, ns] : widths) {
        const std::string at = fmt::format("{}.{}.{}", place, kind, width);
        if (width < 2) fail(at, "is for fewer than 2 devices: that is the single cost");
        curve(at, ns);
      }
    }
  }

  void widths(const std::string& place, const std::optional<PassWidths>& value) const {
    if (!value) return;
    pass(place + ".forward", value->forward);
    pass(place + ".backward", value->backward);
    if (!profile_.training && !value->backward.empty()) {
      fail(place + ".backward", "belongs to training, and training is false: remove it");
    }
    check_parts(place, *value);
  }

  /// Of a team: for the widths of the whole backward part, or for none.
  void check_parts(const std::string& place, const PassWidths& passes) const {
    pass(place + ".input_gradient", passes.input_gradient);
    pass(place + ".weight_gradient", passes.weight_gradient);
    if (passes.input_gradient.empty() && passes.weight_gradient.empty()) return;
    const auto widths_of = [](const std::map<std::string, PerWidth>& kinds) {
      std::set<std::pair<std::string, int>> result;
      for (const auto& [kind, widths] : kinds)
        for (const auto& [width, ns] : widths) result.emplace(kind, width);
      return result;
    };
    for (const auto& [part, kinds] : {std::pair{".input_gradient", &passes.input_gradient},
                                      {".weight_gradient", &passes.weight_gradient}}) {
      if (widths_of(*kinds) == widths_of(passes.backward)) continue;
      fail(place + part,
           "is for other kinds or widths than backward: both parts have the same, or "
           "are left out");
    }
    for (const auto& [kind, widths] : passes.backward)
      for (const auto& [width, whole] : widths)
        check_sum(fmt::format("{}.backward.{}.{}", place, kind, width), whole,
                  passes.input_gradient.at(kind).at(width),
                  passes.weight_gradient.at(kind).at(width));
  }

  /// Two parts that took less time than the whole would make every bound of a step wrong.
  void check_sum(const std::string& place, const std::vector<double>& whole,
                 const std::vector<double>& input, const std::vector<double>& weight) const {
    constexpr double kRoundOff = 1e-9;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (input[i] + weight[i] >= whole[i] * (1 - kRoundOff)) continue;
      fail(fmt::format("{}[{}]", place, i),
           fmt::format("is {}, input and weight gradient apart take {} + {}: less than together, "
                       "raise one of them",
                       whole[i], input[i], weight[i]));
    }
  }

  void check_two_parts(const std::string& place, const LayerCosts& layer) const {
    cost(place + "weight_gradient_bytes", layer.weight_gradient_bytes);
    if (layer.input_gradient_ns.empty() && layer.weight_gradient_ns.empty()) return;
    if (layer.deferred_bytes > 0) {
      fail(place + "weight_gradient_ns",
           "is of a layer with deferred_bytes, whose weight gradient is in the update: remove it");
    }
    for (const auto& [part, kinds] : {std::pair{"input_gradient_ns", &layer.input_gradient_ns},
                                      {"weight_gradient_ns", &layer.weight_gradient_ns}}) {
      curves(place + part, *kinds);
      const bool same = std::equal(kinds->begin(), kinds->end(), layer.backward_ns.begin(),
                                   layer.backward_ns.end(),
                                   [](const auto& a, const auto& b) { return a.first == b.first; });
      if (!same) {
        fail(place + part,
             "is for other kinds than backward_ns: both parts have the same, or are "
             "left out");
      }
    }
    for (const auto& [kind, whole] : layer.backward_ns)
      check_sum(place + "backward_ns." + kind, whole, layer.input_gradient_ns.at(kind),
                layer.weight_gradient_ns.at(kind));
  }

  void check_passes(const std::string& place, const LayerCosts& layer) const {
    if (layer.forward_ns.empty()) {
      fail(place + "forward_ns", fmt::format("is empty: layer \"{}\" needs a cost on at least one "
                                             "kind",
                                             layer.name));
    }
    curves(place + "forward_ns", layer.forward_ns);
    curves(place + "backward_ns", layer.backward_ns);
    if (!profile_.training) return;
    for (const auto& [kind, ns] : layer.forward_ns) {
      if (!layer.backward_ns.contains(kind)) {
        fail(place + "backward_ns", fmt::format("has no costs on \"{}\", forward_ns has: add them, "
                                                "or set training to false",
                                                kind));
      }
    }
    for (const auto& [kind, ns] : layer.backward_ns) {
      if (!layer.forward_ns.contains(kind)) {
        fail(place + "forward_ns",
             fmt::format("has no costs on \"{}\", backward_ns has: add them", kind));
      }
    }
  }

  void check_splits(const std::string& place, const LayerCosts& layer) const {
    static const std::set<std::string> known = {"samples", "threads", "features"};
    for (const auto& split : layer.splits) {
      if (!known.contains(split)) {
        fail(place + "splits",
             fmt::format("has \"{}\": write \"samples\", \"threads\" or \"features\"", split));
      }
    }
  }

  void check_layer(const std::string& place, const LayerCosts& layer) const {
    check_passes(place, layer);
    check_two_parts(place, layer);
    costs(place + "update_ns", layer.update_ns);
    cost(place + "weights_bytes", layer.weights_bytes);
    cost(place + "saved_bytes", layer.saved_bytes);
    cost(place + "deferred_bytes", layer.deferred_bytes);
    cost(place + "workspace_bytes", layer.workspace_bytes);
    cost(place + "workspace_bytes_per_sample", layer.workspace_bytes_per_sample);
    check_splits(place, layer);
    widths(place + "threads_ns", layer.threads_ns);
    widths(place + "features_ns", layer.features_ns);
    if (layer.features_ns && !layer.features_ns->input_gradient.empty()) {
      fail(place + "features_ns.input_gradient",
           "has no meaning: the weights' gradients of slices are in the update, remove it");
    }
    costs(place + "loaded", layer.loaded);
    if (layer.spread_percent) cost(place + "spread_percent", *layer.spread_percent);
    for (const auto& [kind, name] : layer.implementation) {
      known_kind(place + "implementation." + kind, kind);
    }
  }

  void check_layers() {
    if (profile_.layers.empty()) fail("layers", "is empty: a model has at least one layer");
    for (std::size_t i = 0; i < profile_.layers.size(); ++i) {
      const LayerCosts& layer = profile_.layers[i];
      const std::string place = fmt::format("layers[{}].", i);
      if (layer.name.empty()) fail(place + "name", "is empty: give each layer a name");
      if (!index_.emplace(layer.name, i).second) {
        fail(place + "name", fmt::format("\"{}\" is there twice: names are unique", layer.name));
      }
      check_layer(place, layer);
    }
  }

  void known_layer(const std::string& place, const std::string& name) const {
    if (!index_.contains(name)) {
      fail(place,
           fmt::format("\"{}\" is no layer of this file: add the layer or correct the name", name));
    }
  }

  void check_tensors() const {
    for (std::size_t i = 0; i < profile_.tensors.size(); ++i) {
      const TensorCosts& tensor = profile_.tensors[i];
      const std::string place = fmt::format("tensors[{}].", i);
      known_layer(place + "from", tensor.from);
      if (tensor.to.empty()) fail(place + "to", "is empty: name the layers that read the tensor");
      for (const auto& to : tensor.to) known_layer(place + "to", to);
      cost(place + "bytes", tensor.bytes);
    }
  }

  /// Takes away layers whose inputs are all there until none is left; what stays is on a cycle or
  /// behind one.
  void check_order() const {
    std::vector<std::vector<std::size_t>> readers(profile_.layers.size());
    std::vector<int> missing(profile_.layers.size(), 0);
    for (const auto& tensor : profile_.tensors) {
      if (tensor.backward) continue;
      for (const auto& to : tensor.to) {
        readers[index_.at(tensor.from)].push_back(index_.at(to));
        ++missing[index_.at(to)];
      }
    }
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < missing.size(); ++i) {
      if (missing[i] == 0) ready.push_back(i);
    }
    for (std::size_t done = 0; done < ready.size(); ++done) {
      for (const std::size_t reader : readers[ready[done]]) {
        if (--missing[reader] == 0) ready.push_back(reader);
      }
    }
    if (ready.size() == missing.size()) return;
    const auto stuck = std::find_if(missing.begin(), missing.end(), [](int n) { return n > 0; });
    fail("tensors", fmt::format("form a cycle through or before layer \"{}\": a layer's output may "
                                "not reach it again",
                                profile_.layers[std::size_t(stuck - missing.begin())].name));
  }

  const Profile& profile_;
  const std::string& origin_;
  std::map<std::string, std::size_t> index_;
};

}  // namespace

void check_profile(const Profile& profile, const std::string& origin) {
  Checker(profile, origin).run();
}

}  // namespace millrace
