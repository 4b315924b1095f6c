#include <millrace/joins.hpp>
#include <millrace/train_step.hpp>
#include <torch/torch.h>

#include <cstdio>

int main() {
  millrace::Model model{.name = "mine", .sample_shape = {1, 28, 28}, .classes = 10};
  model.add("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 5).padding(2)))
      .add("relu1", torch::nn::ReLU())
      .add("pool", torch::nn::MaxPool2d(4))
      .add("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 8, 3).padding(1)))
      .add("norm", torch::nn::BatchNorm2d(8))
      .add("sum", millrace::Add(), {"norm", "pool"})  // a skip connection
      .add("relu2", torch::nn::ReLU())
      .add("flatten", torch::nn::Flatten())
      .add("fc", torch::nn::Linear(8 * 7 * 7, 10));
  millrace::TrainSettings settings;
  settings.plan.batch = 64;
  auto training = millrace::TrainStep::prepare(model, settings);
  std::puts(millrace::explain(training.plan(), training.profile()).c_str());

  const auto images = torch::randn({64, 1, 28, 28});
  const auto labels = torch::randint(10, {64}, torch::kLong);
  for (int step = 0; step < 20; ++step) {
    std::printf("step %2d: loss %.4f\n", step, training.step({images, labels}).loss);
  }
}
