// Counts a model's FLOPs and, with `--folder DIR`, measures its layers (or takes the kept profile)
// and writes costs.json and topology.json there. Prints one JSON line.

#include <fmt/format.h>

#include "bench/arguments.hpp"
#include "framework/base/file.hpp"
#include "millrace/log.hpp"
#include "millrace/profiler.hpp"
#include "models/zoo.hpp"

namespace millrace::bench {
namespace {

double flops_per_image(const Model& model) {
  double flops = 0;
  for (const LayerFacts& layer : check_model(model)) {
    flops += layer.forward_flops + layer.backward_flops;
  }
  return flops;
}

int run(const Arguments& arguments) {
  const Model model = make_model(arguments.text("--model"), arguments.positive("--classes"));
  const std::filesystem::path folder = arguments.text("--folder");
  if (folder != "none") {
    log_info("bench", "measuring the layers of " + model.name + ", or taking what is kept");
    const Topology machine =
        select_cores(discover_topology({.list_gpus = false}), arguments.text("--cores"));
    ProfileRequest request;
    request.batch = arguments.positive("--batch");
    if (arguments.text("--algorithms") == "direct") request.algorithms = Algorithms::direct;
    const MeasuredProfile measured = profile_model(model, machine, request);
    write_file_atomically(folder / "costs.json", to_json(measured.profile), "bench");
    write_file_atomically(folder / "topology.json", to_json(measured.topology), "bench");
  }
  fmt::print("{{\"flops_per_image\": {:.0f}}}\n", flops_per_image(model));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
