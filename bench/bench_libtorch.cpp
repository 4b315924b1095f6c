// Entries "one core", "libtorch" and "libtorch tuned": training as a LibTorch user writes it.
// Prints one JSON line. Which cores it may use and what is preloaded is set by `millrace bench`.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <chrono>
#include <cstdio>

#include "bench/arguments.hpp"
#include "bench/plain_models.hpp"
#include "bench/step_times.hpp"

namespace millrace::bench {
namespace {

at::MemoryFormat layout_of(const Arguments& arguments) {
  return arguments.text("--layout") == "nhwc" ? at::MemoryFormat::ChannelsLast
                                              : at::MemoryFormat::Contiguous;
}

int run(const Arguments& arguments) {
  const int batch = arguments.positive("--batch"), classes = arguments.positive("--classes");
  at::set_num_threads(arguments.positive("--threads"));
  torch::manual_seed(1);
  PlainModel network(arguments.text("--model"), classes);
  const auto layout = layout_of(arguments);
  for (at::Tensor& parameter : network.parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.detach().contiguous(layout));
  }
  const Model& model = network.model();
  torch::Tensor inputs = random_inputs(model, batch);
  if (inputs.dim() == 4) inputs = inputs.contiguous(layout);
  const torch::Tensor labels = random_labels(model, check_model(model).back(), batch);
  torch::optim::SGD optimizer(network.parameters(), torch::optim::SGDOptions(0.01).momentum(0.9));

  const auto step = [&] {
    optimizer.zero_grad();
    network.loss(inputs, labels).backward();
    optimizer.step();
  };
  const StepTimes times = time_steps(step, arguments);
  std::printf("{\"images_per_second\": %.6g}\n", batch * times.steps / times.seconds);
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
