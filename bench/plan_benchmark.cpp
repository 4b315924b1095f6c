// How long the partition search takes: AlexNet (21 layers, 224 px) on made-up boards. The counters
// are the search's own: candidates weighed, largest memory, predicted step.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/plan.hpp"

namespace millrace {
namespace {

struct Layer {
  const char* name;
  const char* type;
  double mflop;    ///< forward, per sample
  double outputs;  ///< elements per sample
  double weights;  ///< elements
};

constexpr Layer kAlexNet[] = {{"features.0", "conv2d", 140.6, 193600, 23296},
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

struct Kind {
  std::string name;
  int count;
  double flops_per_ns, bytes_per_ns;
};

/// Products at the core's rate, weights read once, activations moved; a team of n is 0.85 n as
/// fast.
std::vector<double> curve(const Profile& profile, const Kind& kind, const Layer& layer,
                          double passes, int team) {
  std::vector<double> result;
  for (const std::int64_t n : profile.samples) {
    const double compute = passes * layer.mflop * 1e6 / kind.flops_per_ns;
    const double move = 8 * layer.outputs / kind.bytes_per_ns;
    const double weights = passes * 4 * layer.weights / kind.bytes_per_ns;
    const double speedup = team == 1 ? 1 : 0.85 * team;
    result.push_back(3000 + (double(n) * (compute + move) + weights) / speedup);
  }
  return result;
}

bool sliceable(const std::string& type) {
  return type == "linear" || type == "relu" || type == "dropout";
}

LayerCosts costs_of(const Profile& profile, const std::vector<Kind>& kinds, const Layer& layer) {
  LayerCosts costs;
  costs.name = layer.name;
  costs.type = layer.type;
  costs.weights_bytes = 4 * layer.weights;
  costs.saved_bytes = 4 * layer.outputs;
  costs.splits = {"samples", "threads"};
  if (sliceable(layer.type)) costs.splits.push_back("features");
  PassWidths teams;
  for (const Kind& kind : kinds) {
    costs.forward_ns[kind.name] = curve(profile, kind, layer, 1, 1);
    costs.backward_ns[kind.name] = curve(profile, kind, layer, 2, 1);
    costs.update_ns[kind.name] = 20 * layer.weights / kind.bytes_per_ns;
    costs.loaded[kind.name] = 1.15;
    for (int n = 2; n <= kind.count; ++n) {
      teams.forward[kind.name][n] = curve(profile, kind, layer, 1, n);
      teams.backward[kind.name][n] = curve(profile, kind, layer, 2, n);
    }
  }
  costs.threads_ns = teams;
  if (sliceable(layer.type)) costs.features_ns = teams;
  return costs;
}

Profile alexnet(const std::vector<Kind>& kinds) {
  Profile profile;
  profile.model = "alexnet";
  profile.samples = {1, 4, 16, 64};
  for (const Kind& kind : kinds) profile.kinds.push_back({kind.name, kind.count});
  for (const Layer& layer : kAlexNet) {
    if (!profile.layers.empty()) {
      const LayerCosts& before = profile.layers.back();
      profile.tensors.push_back({before.name, {layer.name}, before.saved_bytes});
    }
    profile.layers.push_back(costs_of(profile, kinds, layer));
  }
  return profile;
}

const Kind kBig = {"big", 4, 30, 8}, kLittle = {"little", 4, 7, 4}, kGpu = {"gpu", 1, 120, 8};

void search_on(benchmark::State& state, const std::vector<Kind>& kinds,
               const PlanRequest& request) {
  const Profile profile = alexnet(kinds);
  Plan plan;
  for (auto _ : state) plan = std::get<Plan>(search_plan(profile, request));
  state.counters["candidates"] = double(plan.search.candidates);
  state.counters["peak_bytes"] = double(plan.search.peak_bytes);
  state.counters["optimal"] = plan.optimal ? 1 : 0;
  state.counters["stages"] = double(plan.stages.size());
  state.counters["step_ms"] = plan.value_ns / 1e6;
}

PlanRequest batch_of(std::int64_t batch, Objective objective = Objective::makespan) {
  PlanRequest request;
  request.batch = batch;
  request.objective = objective;
  return request;
}

PlanRequest within(std::int64_t bytes) {
  PlanRequest request;
  request.memory_bytes = bytes;
  return request;
}

void register_all() {
  const std::vector<Kind> two = {{"core", 2, 30, 8}}, board = {kBig, kLittle},
                          with_gpu = {kBig, kLittle, kGpu},
                          many = {{"big", 10, 30, 8}, {"little", 10, 20, 8}};
  const auto add = [](const std::string& name, const std::vector<Kind>& kinds,
                      const PlanRequest& request) {
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
      search_on(state, kinds, request);
    })->Unit(benchmark::kMillisecond);
  };
  add("search/2", two, batch_of(64));
  add("search/4+4", board, batch_of(64));
  add("search/4+4+1", with_gpu, batch_of(64));
  add("search/4+4+1/period", with_gpu, batch_of(64, Objective::period));
  add("search/4+4+1/batch 256", with_gpu, batch_of(256));
  add("search/4+4+1/900 MB", with_gpu, within(900'000'000));
  add("search/10+10", many, batch_of(64));
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  millrace::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
