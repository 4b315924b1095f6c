#include "framework/profile/cost_graph.hpp"

#include <algorithm>
#include <optional>

#include "framework/layers/layer_op.hpp"
#include "framework/profile/core_rates.hpp"
#include "framework/profile/footprint.hpp"

namespace millrace {
namespace {

constexpr double kMemoryShare = 0.9;

struct TwoParts {
  std::vector<double> input_gradient_ns, weight_gradient_ns;
};

/// Nothing where the layer's backward does not come apart. Less than the whole takes is noise.
std::optional<TwoParts> two_parts(const MeasuredCounts& apart, const std::vector<double>& whole,
                                  const std::vector<std::int64_t>& samples, std::size_t layer) {
  if (apart.empty()) return std::nullopt;
  TwoParts parts{layer_curve(apart, samples, &PassTimes::input_gradient_ns, layer),
                 layer_curve(apart, samples, &PassTimes::weight_gradient_ns, layer)};
  if (parts.weight_gradient_ns.back() == 0) return std::nullopt;
  for (std::size_t i = 0; i < whole.size(); ++i)
    parts.weight_gradient_ns[i] =
        std::max(parts.weight_gradient_ns[i], whole[i] - parts.input_gradient_ns[i]);
  return parts;
}

/// Curves of one layer for every width that was measured.
void add_widths(PassWidths& widths, const std::string& kind,
                const std::map<int, MeasuredCounts>& measured,
                const std::vector<std::int64_t>& samples, std::size_t layer) {
  for (const auto& [width, counts] : measured) {
    widths.forward[kind][width] = layer_curve(counts, samples, &PassTimes::forward_ns, layer);
    widths.backward[kind][width] = layer_curve(counts, samples, &PassTimes::backward_ns, layer);
  }
}

/// Of those widths that add_widths() added.
void add_apart(PassWidths& widths, const std::string& kind,
               const std::map<int, MeasuredCounts>& measured,
               const std::vector<std::int64_t>& samples, std::size_t layer) {
  for (const auto& [width, counts] : measured) {
    const auto parts = two_parts(counts, widths.backward[kind][width], samples, layer);
    if (!parts) continue;
    widths.input_gradient[kind][width] = parts->input_gradient_ns;
    widths.weight_gradient[kind][width] = parts->weight_gradient_ns;
  }
}

/// A line through what the largest number of samples takes, and above what fewer take.
void add_workspace(LayerCosts& costs, const WorkspaceBytes& measured, std::size_t layer) {
  const auto many = double(measured.rbegin()->first);
  const double most = measured.rbegin()->second[layer];
  double each = most / many;
  for (const auto& [samples, bytes] : measured)
    if (double(samples) < many)
      each = std::min(each, (most - bytes[layer]) / (many - double(samples)));
  each = std::max(each, 0.0);
  costs.workspace_bytes_per_sample = std::max(costs.workspace_bytes_per_sample, each);
  costs.workspace_bytes = std::max(costs.workspace_bytes, most - each * many);
}

void add_kind(LayerCosts& costs, const std::string& kind, const KindTimes& times,
              const std::vector<std::int64_t>& samples, std::size_t layer) {
  costs.forward_ns[kind] = layer_curve(times.alone, samples, &PassTimes::forward_ns, layer);
  costs.backward_ns[kind] = layer_curve(times.alone, samples, &PassTimes::backward_ns, layer);
  if (const auto parts = two_parts(times.apart, costs.backward_ns[kind], samples, layer)) {
    costs.input_gradient_ns[kind] = parts->input_gradient_ns;
    costs.weight_gradient_ns[kind] = parts->weight_gradient_ns;
  }
  // Forming a deferred gradient takes longer the more samples: it is of a whole batch.
  costs.update_ns[kind] = layer_curve(times.alone, samples, &PassTimes::update_ns, layer).back();
  costs.spread_percent =
      std::max(costs.spread_percent.value_or(0), spread_percent(times.alone, layer));
  if (!times.loaded.empty()) costs.loaded[kind] = times.loaded[layer];
  add_workspace(costs, times.workspace_bytes, layer);
  costs.implementation[kind] = times.choice[layer];
}

/// The splits that were measured on some kind. Features are divided over several kinds by what the
/// layer takes on one core of each.
void add_splits(LayerCosts& costs, const LayerFacts& facts,
                const std::map<std::string, KindTimes>& times,
                const std::vector<std::int64_t>& samples, std::size_t layer) {
  PassWidths threads, features;
  for (const auto& [kind, measured] : times) {
    add_widths(threads, kind, measured.threads, samples, layer);
    add_apart(threads, kind, measured.threads_apart, samples, layer);
    if (can_split_features(facts)) add_widths(features, kind, measured.features, samples, layer);
  }
  costs.splits = {"samples"};
  if (!threads.forward.empty()) {
    costs.splits.push_back("threads");
    costs.threads_ns = std::move(threads);
  }
  if (can_split_features(facts)) costs.splits.push_back("features");
  if (!features.forward.empty()) costs.features_ns = std::move(features);
}

void scale(std::vector<double>& values, double factor) {
  for (double& value : values) value *= factor;
}

void scale(std::optional<PassWidths>& widths, double factor) {
  if (!widths) return;
  for (auto* pass :
       {&widths->forward, &widths->backward, &widths->input_gradient, &widths->weight_gradient}) {
    for (auto& [kind, by_width] : *pass) {
      for (auto& [width, curve] : by_width) scale(curve, factor);
    }
  }
}

}  // namespace

Profile make_cost_graph(const Model& model, const std::vector<LayerFacts>& facts,
                        const Topology& topology, std::int64_t batch,
                        const std::map<std::string, KindTimes>& times) {
  Profile profile;
  profile.model = model.name;
  profile.samples = sample_counts(batch);
  for (const CoreKind& kind : topology.kinds) {
    profile.kinds.push_back({kind.name, static_cast<int>(device_cpus(topology, kind).size())});
  }
  for (std::size_t l = 0; l < facts.size(); ++l) {
    LayerCosts costs;
    costs.name = facts[l].name;
    costs.type = facts[l].type;
    costs.weights_bytes = static_cast<double>(facts[l].weights_bytes);
    for (const auto& [kind, measured] : times) {
      add_kind(costs, kind, measured, profile.samples, l);
      costs.deferred_bytes = deferred_bytes_per_sample(facts[l], measured.choice[l]);
    }
    if (costs.splits_backward())
      costs.weight_gradient_bytes =
          weight_gradient_bytes_per_sample(facts[l], times.begin()->second.choice[l]);
    costs.saved_bytes = saved_bytes_per_sample(facts, l, times.begin()->second.choice[l]);
    add_splits(costs, facts[l], times, profile.samples, l);
    costs.whole_batch = facts[l].type == "batch_norm";
    profile.layers.push_back(std::move(costs));
    TensorCosts output{facts[l].name, {}, tensor_bytes(facts[l].output_shape), false};
    for (const int reader : facts[l].readers)
      output.to.push_back(facts[static_cast<std::size_t>(reader)].name);
    if (!output.to.empty()) profile.tensors.push_back(std::move(output));
  }
  return profile;
}

double memory_budget_bytes(const Topology& topology) {
  auto bytes = static_cast<double>(topology.memory_available_bytes);
  const auto& limit = topology.limits.memory_limit_bytes;
  if (limit && bytes > 0) bytes = std::min(bytes, static_cast<double>(*limit));
  return kMemoryShare * bytes;
}

Profile at_speed(Profile profile, double speed) {
  const double factor = 1 / speed;
  for (LayerCosts& layer : profile.layers) {
    for (auto* pass : {&layer.forward_ns, &layer.backward_ns, &layer.input_gradient_ns,
                       &layer.weight_gradient_ns})
      for (auto& [kind, curve] : *pass) scale(curve, factor);
    for (auto& [kind, ns] : layer.update_ns) ns *= factor;
    scale(layer.threads_ns, factor);
    scale(layer.features_ns, factor);
  }
  return profile;
}

}  // namespace millrace
