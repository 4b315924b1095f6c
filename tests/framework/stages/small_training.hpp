#pragma once
// A small model, plans for it, and a driver: stages on an executor.

#include <ATen/ATen.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>

#include <memory>
#include <vector>

#include "framework/execute/executor.hpp"
#include "framework/stages/build_stages.hpp"

namespace millrace::test {

/// relu - fc1 - relu - dropout - fc2 on 6 features, 4 classes. Begins with layers that could work
/// in place on the batch.
inline Model small_model() {
  namespace nn = torch::nn;
  Model model;
  model.name = "small";
  model.sample_shape = {6};
  model.classes = 4;
  model.add("drop0", nn::Dropout(0.2)).add("relu0", nn::ReLU()).add("fc1", nn::Linear(6, 5));
  model.add("relu1", nn::ReLU()).add("drop1", nn::Dropout(0.2)).add("fc2", nn::Linear(5, 4));
  initialise(model, 3);
  return model;
}

/// `cuts`: number of layers of each stage; every stage has `workers` workers.
inline Plan small_plan(const Model& model, const std::vector<int>& cuts, int workers,
                       bool features) {
  Plan plan;
  plan.model = model.name;
  plan.batch = 8;
  plan.micro_batch = 4;
  plan.micro_batches = 2;
  std::size_t next = 0;
  for (int layers : cuts) {
    PlanStage stage;
    for (int l = 0; l < layers; ++l) stage.layers.push_back(model.layers[next++].name);
    stage.shares = shares_of(std::vector<std::int64_t>(static_cast<std::size_t>(workers), 1), 4);
    for (int w = 0; w < workers; ++w) stage.devices.push_back({"core", w});
    if (features) {
      stage.split = Split::features;
      stage.feature_layers = stage.layers;
    }
    plan.stages.push_back(stage);
  }
  return plan;
}

class Training {
 public:
  Training(const Model& model, const Plan& plan, const OptimizerSettings& optimizer = {})
      : plan_(plan),
        stages(build_stages(model, check_model(model), plan, optimizer, {}, 1)),
        executor_(stages.runners(), places()) {}

  void run(const std::string& schedule, std::int64_t samples) {
    executor_.run(make_schedule(schedule, static_cast<int>(plan_.stages.size()),
                                static_cast<int>((samples + 3) / plan_.micro_batch)));
  }
  StepResults train(const at::Tensor& inputs, const at::Tensor& targets, std::int64_t step = 0) {
    stages.begin_training(inputs, targets, step);
    run("1f1b", inputs.size(0));
    return stages.results();
  }

 private:
  std::vector<std::vector<WorkerPlace>> places() {
    std::vector<std::vector<WorkerPlace>> result;
    for (const StageRunner* runner : stages.runners())
      result.emplace_back(static_cast<std::size_t>(runner->workers()));
    return result;
  }

  Plan plan_;

 public:
  StageSet stages;

 private:
  Executor executor_;
};

}  // namespace millrace::test
