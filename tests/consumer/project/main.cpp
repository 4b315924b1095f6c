#include <millrace/train_step.hpp>
#include <torch/torch.h>

#include <cstdio>

int main() {
  millrace::Model model{.name = "mine", .sample_shape = {1, 28, 28}, .classes = 10};
  model.add("conv", torch::nn::Conv2d(1, 8, 5))
      .add("relu", torch::nn::ReLU())
      .add("pool", torch::nn::MaxPool2d(4))
      .add("flatten", torch::nn::Flatten())
      .add("fc", torch::nn::Linear(8 * 6 * 6, 10));
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
