// Counts a model's and its layers' FLOPs and bytes and, with `--folder DIR`, measures its layers
// (or takes the kept profile) and writes costs.json and topology.json there, saying so unless
// `--quiet yes`. Prints one JSON line.

#include <fmt/format.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "bench/arguments.hpp"
#include "framework/base/file.hpp"
#include "millrace/log.hpp"
#include "millrace/profiler.hpp"
#include "models/zoo/zoo.hpp"

namespace millrace::bench {
namespace {

double bytes_of(const std::vector<std::int64_t>& shape) {
  return 4.0 * static_cast<double>(std::accumulate(shape.begin(), shape.end(), std::int64_t{1},
                                                   std::multiplies<>()));
}

nlohmann::ordered_json work_of(const Model& model) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  double flops = 0;
  for (const LayerFacts& layer : check_model(model)) {
    flops += layer.forward_flops + layer.backward_flops;
    layers.push_back({{"name", layer.name},
                      {"forward_flops", layer.forward_flops},
                      {"backward_flops", layer.backward_flops},
                      {"input_bytes", bytes_of(layer.input_shape)},
                      {"output_bytes", bytes_of(layer.output_shape)}});
  }
  return {{"flops_per_image", flops}, {"layers", layers}};
}

int run(const Arguments& arguments) {
  const Model model = make_model(arguments.text("--model"), arguments.positive("--classes"));
  const std::filesystem::path folder = arguments.text("--folder");
  if (arguments.text("--quiet") == "yes") set_verbosity(Verbosity::quiet);
  if (folder != "none") {
    log_info("bench", "measuring the layers of " + model.name + ", or taking what is kept");
    const Topology machine =
        select_cores(discover_topology({.list_gpus = false}), arguments.text("--cores"));
    ProfileRequest request;
    request.batch = arguments.positive("--batch");
    if (arguments.text("--algorithms") == "direct") request.algorithms = Algorithms::direct;
    if (arguments.text("--precision") == "bf16") request.precision = Precision::bf16;
    const MeasuredProfile measured = profile_model(model, machine, request);
    write_file_atomically(folder / "costs.json", to_json(measured.profile), "bench");
    write_file_atomically(folder / "topology.json", to_json(measured.topology), "bench");
  }
  fmt::print("{}\n", work_of(model).dump());
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
