// What accuracy plain LibTorch reaches in a given time: the counterpart of `millrace train --time`,
// with the same loader, augmentation, batch, learning rate and momentum, in the faster layout.
//   bench_accuracy --model alexnet-32 --data DIR --seconds 600 --batch 64 --lr 0.01 --threads 2

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <cstdlib>

#include "bench/arguments.hpp"
#include "bench/plain_models.hpp"
#include "models/data/image_samples.hpp"
#include "models/data/loader.hpp"

namespace millrace::bench {
namespace {

using Clock = std::chrono::steady_clock;

SampleFormat format_of(const DataSplit& data, const Model& model) {
  const int channels = static_cast<int>(model.sample_shape.front());
  return sample_format(model.sample_shape, normalisation_of(*data.train, channels));
}

torch::Tensor inputs_of(const Batch& batch) {
  return batch.inputs.contiguous(at::MemoryFormat::ChannelsLast);
}

double accuracy_of(PlainModel& plain, Loader& loader) {
  const torch::NoGradGuard no_gradients;
  plain.train(false);
  std::int64_t correct = 0, samples = 0;
  while (const auto batch = loader.next()) {
    const torch::Tensor answers = plain.forward(inputs_of(*batch)).argmax(1);
    correct += (answers == batch->targets).sum().item<std::int64_t>();
    samples += batch->targets.size(0);
  }
  return static_cast<double>(correct) / static_cast<double>(samples);
}

/// Returns the steps that were made.
std::int64_t train(PlainModel& plain, Loader& loader, double learning_rate, int seconds) {
  torch::optim::SGD optimizer(plain.parameters(),
                              torch::optim::SGDOptions(learning_rate).momentum(0.9));
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  std::int64_t steps = 0;
  for (; Clock::now() < end; ++steps) {
    const Batch batch = *loader.next();
    optimizer.zero_grad();
    plain.loss(inputs_of(batch), batch.targets).backward();
    optimizer.step();
  }
  return steps;
}

int run(const Arguments& arguments) {
  at::set_num_threads(arguments.positive("--threads"));
  torch::manual_seed(1);
  const DataSplit data = open_data({.path = arguments.text("--data")});
  if (!data.validation) throw std::invalid_argument("--data has no validation images");
  PlainModel plain(arguments.text("--model"),
                   static_cast<std::int64_t>(data.train->class_names().size()));
  for (at::Tensor& parameter : plain.parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.detach().contiguous(at::MemoryFormat::ChannelsLast));
  }
  const SampleFormat format = format_of(data, plain.model());
  const std::int64_t batch = arguments.positive("--batch");
  Loader loader(std::make_shared<ImageSamples>(data.train, format),
                {.batch = batch, .training = true});
  Loader validation(std::make_shared<ImageSamples>(data.validation, format), {.batch = batch});
  const double learning_rate = std::strtod(arguments.text("--lr").c_str(), nullptr);
  const int seconds = arguments.positive("--seconds");
  const std::int64_t steps = train(plain, loader, learning_rate, seconds);
  fmt::print("{{\"steps\": {}, \"images_per_second\": {:.1f}, \"accuracy\": {:.4f}}}\n", steps,
             static_cast<double>(steps * batch) / seconds, accuracy_of(plain, validation));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
