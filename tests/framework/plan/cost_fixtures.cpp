#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace::fixtures {
namespace {

const std::vector<std::int64_t> kSamples = {1, 4, 16, 64};

/// MFLOP forward per sample, elements of the output, weights.
struct Shape {
  const char* name;
  const char* type;
  double mflop;
  double outputs;
  double weights;
};

constexpr Shape kAlexNet[] = {{"features.0", "conv2d", 140.6, 193600, 23296},
                              {"features.1", "relu", 0, 193600, 0},
                              {"features.2", "max_pool2d", 0, 46656, 0},
                              {"features.3", "conv2d", 447.9, 139968, 307392},
                              {"features.4", "relu", 0, 139968, 0},
                              {"features.5", "max_pool2d", 0, 32448, 0},
                              {"features.6", "conv2d", 224.3, 64896, 663936},
                              {"features.7", "relu", 0, 64896, 0},
                              {"features.8", "conv2d", 299.0, 43264, 884992},
                              {"features.9", "relu", 0, 43264, 0},
                              {"features.10", "conv2d", 199.4, 43264, 590080},
                              {"features.11", "relu", 0, 43264, 0},
                              {"features.12", "max_pool2d", 0, 9216, 0},
                              {"avgpool", "adaptive_avg_pool2d", 0, 9216, 0},
                              {"classifier.0", "dropout", 0, 9216, 0},
                              {"classifier.1", "linear", 75.5, 4096, 37752832},
                              {"classifier.2", "relu", 0, 4096, 0},
                              {"classifier.3", "dropout", 0, 4096, 0},
                              {"classifier.4", "linear", 33.6, 4096, 16781312},
                              {"classifier.5", "relu", 0, 4096, 0},
                              {"classifier.6", "linear", 8.2, 1000, 4097000}};

bool sliceable(const std::string& type) {
  return type == "linear" || type == "relu" || type == "dropout";
}

/// Time of a pass: products at the core's rate, weights read once per micro-batch, activations.
std::vector<double> curve(const Core& core, const Shape& shape, double products, double slices) {
  std::vector<double> result;
  for (const std::int64_t n : kSamples) {
    const double compute = products * shape.mflop * 1e6 / core.flops_per_ns;
    const double move = 8 * shape.outputs / core.bytes_per_ns;
    const double weights = products * 4 * shape.weights / core.bytes_per_ns;
    result.push_back(3000 + (double(n) * (compute + move) + weights) / slices);
  }
  return result;
}

void add_widths(const Core& core, const Shape& shape, LayerCosts& layer) {
  for (int width = 2; width <= core.count; ++width) {
    if (!layer.threads_ns) layer.threads_ns.emplace();
    const double speedup = 0.8 * width;
    layer.threads_ns->forward[core.kind][width] = curve(core, shape, 1, speedup);
    layer.threads_ns->backward[core.kind][width] = curve(core, shape, 2, speedup);
    if (!sliceable(shape.type)) continue;
    if (!layer.features_ns) layer.features_ns.emplace();
    layer.features_ns->forward[core.kind][width] = curve(core, shape, 1, 0.9 * width);
    layer.features_ns->backward[core.kind][width] = curve(core, shape, 2, 0.9 * width);
  }
}

LayerCosts alexnet_layer(const Shape& shape, double inputs, const std::vector<Core>& cores) {
  LayerCosts layer;
  layer.name = shape.name;
  layer.type = shape.type;
  layer.weights_bytes = 4 * shape.weights;
  layer.saved_bytes = 4 * inputs;
  layer.splits = {"samples", "threads"};
  if (sliceable(shape.type)) layer.splits.push_back("features");
  for (const Core& core : cores) {
    layer.forward_ns[core.kind] = curve(core, shape, 1, 1);
    layer.backward_ns[core.kind] = curve(core, shape, 2, 1);
    layer.update_ns[core.kind] = 20 * shape.weights / core.bytes_per_ns;
    layer.loaded[core.kind] = core.loaded;
    add_widths(core, shape, layer);
  }
  return layer;
}

}  // namespace

Profile alexnet(const std::vector<Core>& cores) {
  Profile profile;
  profile.model = "alexnet";
  profile.samples = kSamples;
  for (const Core& core : cores) profile.kinds.push_back({core.kind, core.count});
  double inputs = 3 * 224 * 224;
  std::string before;
  for (const Shape& shape : kAlexNet) {
    profile.layers.push_back(alexnet_layer(shape, inputs, cores));
    if (!before.empty()) profile.tensors.push_back({before, {shape.name}, 4 * inputs});
    inputs = shape.outputs;
    before = shape.name;
  }
  return profile;
}

Profile plain_chain(const std::vector<double>& ns, int cores) {
  Profile profile;
  profile.model = "plain";
  profile.samples = {1};
  profile.kinds.push_back({"core", cores});
  for (std::size_t l = 0; l < ns.size(); ++l) {
    LayerCosts layer;
    layer.name = "l" + std::to_string(l);
    layer.forward_ns["core"] = {ns[l]};
    layer.backward_ns["core"] = {2 * ns[l]};
    if (l > 0) profile.tensors.push_back({profile.layers.back().name, {layer.name}, 0});
    profile.layers.push_back(layer);
  }
  return profile;
}

Profile in_two_parts(Profile profile) {
  const auto half = [](std::vector<double> ns) {
    for (double& value : ns) value /= 2;
    return ns;
  };
  for (LayerCosts& layer : profile.layers) {
    for (const auto& [kind, ns] : layer.backward_ns)
      layer.input_gradient_ns[kind] = layer.weight_gradient_ns[kind] = half(ns);
    if (!layer.threads_ns) continue;
    for (const auto& [kind, widths] : layer.threads_ns->backward)
      for (const auto& [width, ns] : widths)
        layer.threads_ns->input_gradient[kind][width] =
            layer.threads_ns->weight_gradient[kind][width] = half(ns);
  }
  return profile;
}

Profile branches(int n, int m, int cores) {
  Profile profile = plain_chain(std::vector<double>(static_cast<std::size_t>(n * m + 2), 1), cores);
  profile.tensors.clear();
  const std::string end = "l" + std::to_string(n * m + 1);
  for (int b = 0; b < n; ++b) {
    std::string before = "l0";
    for (int i = 0; i < m; ++i) {
      const std::string layer = "l" + std::to_string(1 + b * m + i);
      profile.tensors.push_back({before, {layer}, 1});
      before = layer;
    }
    profile.tensors.push_back({before, {end}, 1});
  }
  return profile;
}

}  // namespace millrace::fixtures
