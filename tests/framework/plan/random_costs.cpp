#include "tests/framework/plan/random_costs.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace millrace::fixtures {
namespace {

class Generator {
 public:
  explicit Generator(std::mt19937& random) : random_(random) {}

  Instance make(bool graph, bool two_parts) {
    Instance instance;
    Profile& profile = instance.profile;
    profile.model = "random";
    profile.training = !chance(0.1);
    profile.samples =
        chance(0.3) ? std::vector<std::int64_t>{1} : std::vector<std::int64_t>{1, 2, 4};
    profile.overlapped_transfers = chance(0.3);
    profile.bytes_per_weight_byte = profile.training ? whole(2, 3) : 1;
    const int devices = graph ? pick({2, 3, 3, 4}) : pick({1, 2, 2, 3, 3, 3, 4, 4, 4});
    const int layers = graph ? whole(3, 16 - 2 * devices) : pick({1, 2, 3, 4, 4, 5, 5, 6, 6});
    graph ? add_three_kinds(profile, devices) : add_kinds(profile, devices);
    for (int p = 0; p < layers; ++p) profile.layers.push_back(layer(profile, p));
    if (two_parts && profile.training) add_two_parts(profile);
    std::shuffle(profile.layers.begin(), profile.layers.end(), random_);
    graph ? add_graph(profile, layers) : add_tensors(profile, layers);
    instance.request = request(profile);
    if (two_parts && profile.training) allow_two_parts(instance.request);
    if (graph) instance.request.batch = std::min<std::int64_t>(instance.request.batch, 3);
    if (graph && instance.request.micro_batch)
      instance.request.micro_batch =
          std::min(*instance.request.micro_batch, instance.request.batch);
    return instance;
  }

 private:
  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  int whole(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool chance(double share) { return real(0, 1) < share; }
  int pick(const std::vector<int>& values) {
    return values[static_cast<std::size_t>(whole(0, int(values.size()) - 1))];
  }

  void add_kinds(Profile& profile, int devices) {
    const int kinds = devices > 1 ? whole(1, 2) : 1;
    const int first = kinds == 1 ? devices : whole(1, devices - 1);
    profile.kinds.push_back({"fast", first});
    if (kinds == 2) profile.kinds.push_back({"slow", devices - first});
    add_limits(profile);
  }

  void add_three_kinds(Profile& profile, int devices) {
    for (const char* name : {"fast", "slow", "gpu"}) profile.kinds.push_back({name, 0});
    for (; devices > 0; --devices) ++profile.kinds[static_cast<std::size_t>(whole(0, 2))].count;
    std::erase_if(profile.kinds, [](const DeviceKind& kind) { return kind.count == 0; });
    add_limits(profile);
  }

  void add_limits(Profile& profile) {
    for (DeviceKind& kind : profile.kinds) {
      if (chance(0.25)) kind.link_ns_per_byte = real(0, 0.5);
      if (chance(0.25)) kind.link_latency_ns = real(0, 20);
      if (chance(0.15)) kind.memory_bytes = real(500, 6000);
    }
    if (chance(0.3)) profile.shared_memory_bytes = real(300, 6000);
  }

  std::vector<double> curve(const Profile& profile, double per_sample, double fixed) {
    std::vector<double> result;
    for (const auto n : profile.samples) {
      const double before = result.empty() ? 0 : result.back();
      result.push_back(std::max(before, fixed + per_sample * double(n) * real(0.9, 1.1)));
    }
    return result;
  }

  void add_team(const Profile& profile, const DeviceKind& kind, double per_sample,
                std::optional<PassWidths>& passes) {
    if (!passes) passes.emplace();
    for (int width = 2; width <= kind.count; ++width) {
      if (chance(0.2)) continue;
      const double each = per_sample / (width * real(0.6, 1.0));
      passes->forward[kind.name][width] = curve(profile, each, real(0, 5));
      if (profile.training)
        passes->backward[kind.name][width] = curve(profile, 2 * each, real(0, 5));
    }
  }

  LayerCosts layer(const Profile& profile, int position) {
    LayerCosts layer;
    layer.name = "l" + std::to_string(position);
    layer.type = chance(0.5) ? "linear" : "relu";
    const double work = chance(0.2) ? real(0, 5) : real(20, 100);
    layer.weights_bytes = chance(0.4) ? 0 : real(0, 300);
    layer.workspace_bytes = chance(0.7) ? 0 : real(0, 100);
    layer.workspace_bytes_per_sample = chance(0.7) ? 0 : real(0, 50);
    if (profile.training) layer.saved_bytes = chance(0.2) ? 0 : real(0, 150);
    if (profile.training && chance(0.2)) layer.deferred_bytes = real(1, 20);
    for (const char* split : {"samples", "threads", "features"}) {
      if (chance(0.8)) layer.splits.push_back(split);
    }
    for (const DeviceKind& kind : profile.kinds) {
      const bool last_chance = layer.forward_ns.empty() && &kind == &profile.kinds.back();
      if (chance(0.08) && !last_chance) continue;
      const double slow = kind.name == "slow" ? real(1.5, 4) : 1;
      layer.forward_ns[kind.name] = curve(profile, slow * work, real(0, 10));
      if (profile.training) {
        layer.backward_ns[kind.name] = curve(profile, 2 * slow * work, real(0, 10));
        if (!chance(0.1)) layer.update_ns[kind.name] = layer.weights_bytes * slow * real(0, 0.5);
      }
      if (chance(0.5)) layer.loaded[kind.name] = real(1, 1.5);
      if (chance(0.7)) add_team(profile, kind, slow * work, layer.threads_ns);
      if (chance(0.7)) add_team(profile, kind, slow * work, layer.features_ns);
    }
    return layer;
  }

  std::vector<double> part(const std::vector<double>& whole, double share) {
    std::vector<double> result = whole;
    for (double& ns : result) ns *= share;
    return result;
  }

  /// Of most layers; apart they take up to half as long again as together, and sometimes all of it
  /// is one part.
  void add_two_parts(Profile& profile) {
    for (LayerCosts& layer : profile.layers) {
      if (layer.deferred_bytes > 0 || chance(0.25)) continue;
      layer.weight_gradient_bytes = chance(0.2) ? 0 : real(0, 150);
      const double input = chance(0.2) ? 0 : real(0.1, 1), weight = 1 - input;
      const double more = chance(0.5) ? 1 : real(1, 1.5);
      for (const auto& [kind, ns] : layer.backward_ns) {
        layer.input_gradient_ns[kind] = part(ns, more * input);
        layer.weight_gradient_ns[kind] = part(ns, more * weight);
      }
      if (!layer.threads_ns || chance(0.3)) continue;
      for (const auto& [kind, widths] : layer.threads_ns->backward)
        for (const auto& [width, ns] : widths) {
          layer.threads_ns->input_gradient[kind][width] = part(ns, more * input);
          layer.threads_ns->weight_gradient[kind][width] = part(ns, more * weight);
        }
    }
  }

  void allow_two_parts(PlanRequest& request) {
    if (chance(0.7)) request.objective = Objective::makespan;
    if (request.objective == Objective::makespan && chance(0.3)) request.schedule = "zero-bubble";
  }

  void add_tensors(Profile& profile, int layers) {
    for (int p = 0; p + 1 < layers; ++p) {
      const std::string from = "l" + std::to_string(p), to = "l" + std::to_string(p + 1);
      for (int n = chance(0.15) ? 2 : 1; n > 0; --n) {
        profile.tensors.push_back({from, {to}, real(0, 100)});
      }
      if (chance(0.2))
        profile.tensors.push_back({to, {from}, chance(0.3) ? 0 : real(0, 200), true});
    }
    std::shuffle(profile.tensors.begin(), profile.tensors.end(), random_);
  }

  /// Every layer reads up to three earlier ones, mostly near ones; some read the sample.
  void add_graph(Profile& profile, int layers) {
    std::vector<std::vector<int>> readers(static_cast<std::size_t>(layers));
    for (int p = 1; p < layers; ++p) {
      for (int n = pick({0, 1, 1, 1, 1, 2, 2, 3}); n > 0; --n) {
        auto& others =
            readers[static_cast<std::size_t>(whole(chance(0.7) ? std::max(0, p - 3) : 0, p - 1))];
        if (others.empty() || others.back() != p) others.push_back(p);
      }
    }
    const auto name = [](int p) { return "l" + std::to_string(p); };
    for (int p = 0; p < layers; ++p) {
      std::vector<std::string> to;
      for (const int reader : readers[static_cast<std::size_t>(p)]) {
        to.push_back(name(reader));
        if (chance(0.1)) profile.tensors.push_back({name(reader), {name(p)}, real(0, 200), true});
        if (!chance(0.2)) continue;  // a tensor of its own
        profile.tensors.push_back({name(p), to, real(0, 100)});
        to.clear();
      }
      if (!to.empty()) profile.tensors.push_back({name(p), to, real(0, 100)});
    }
    std::shuffle(profile.tensors.begin(), profile.tensors.end(), random_);
  }

  PlanRequest request(const Profile& profile) {
    PlanRequest request;
    request.batch = whole(1, 6);
    if (chance(0.3)) request.micro_batch = whole(1, int(request.batch));
    if (chance(0.3)) request.objective = Objective::period;
    if (profile.training && chance(0.4)) request.schedule = chance(0.5) ? "fill-drain" : "1f1b";
    if (chance(0.2)) request.max_stages = whole(1, 3);
    if (chance(0.2)) request.max_replicas = whole(1, 3);
    if (chance(0.4)) {
      request.recompute = chance(0.5) ? RecomputePolicy::none : RecomputePolicy::all;
    }
    if (chance(0.3)) request.memory_bytes = whole(200, 5000);
    return request;
  }

  std::mt19937& random_;
};

}  // namespace

Instance random_instance(std::mt19937& random, bool two_parts) {
  return Generator(random).make(false, two_parts);
}

Instance random_graph_instance(std::mt19937& random, bool two_parts) {
  return Generator(random).make(true, two_parts);
}

}  // namespace millrace::fixtures
