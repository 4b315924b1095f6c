#include "framework/stages/build_stages.hpp"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "framework/layers/layer_graph.hpp"
#include "framework/stages/step_context.hpp"
#include "framework/stages/torch_stage.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<at::Tensor> parameters_of(const Layer& layer) {
  std::vector<at::Tensor> values;
  for (const auto& parameter : layer.module.ptr()->named_parameters())
    values.push_back(parameter.value().detach());
  return values;
}

/// Makes the layers of each stage; keeps count of where in the model they are.
class Cutter {
 public:
  Cutter(const Model& model, const std::vector<LayerFacts>& facts, const Plan& plan)
      : model_(model), facts_(facts), input_gradients_(input_gradients(facts)) {
    for (const Layer& layer : model.layers) implementations_.push_back(chosen(plan, layer.name));
    fusions_ = fusions(facts, implementations_);
  }

  StageDesign cut(const PlanStage& plan) {
    StageDesign design{plan, next_ == 0, false, model_.loss, {}, {}, {}};
    const std::size_t first = next_;
    const int workers = plan.workers();
    design.team = std::make_unique<Team>(workers);
    design.layers.resize(static_cast<std::size_t>(workers));
    for (const std::string& name : plan.layers) {
      check_name(name);
      for (int worker = 0; worker < workers; ++worker)
        design.layers[static_cast<std::size_t>(worker)].push_back(make(plan, worker, *design.team));
      ++next_;
    }
    design.last = next_ == model_.layers.size();
    design.borders = borders(first);
    return design;
  }

  void check_all_used() const {
    if (next_ != model_.layers.size()) refuse("the end", model_.layers[next_].name);
  }

 private:
  void check_name(const std::string& name) const {
    if (next_ == model_.layers.size()) refuse(name, "the end");
    if (model_.layers[next_].name != name) refuse(name, model_.layers[next_].name);
  }

  [[noreturn]] void refuse(const std::string& in_plan, const std::string& in_model) const {
    throw ConfigError("plan",
                      fmt::format("at layer {} the plan has {}, the model {} has {}: make a "
                                  "plan for this model",
                                  next_, in_plan, model_.name, in_model));
  }

  /// Of the stage of layers first … next_ - 1.
  ChainBorders borders(std::size_t first) const {
    ChainBorders result;
    result.first_layer = static_cast<int>(first);
    result.inputs = crossing(first);
    result.outputs = crossing(next_);
    for (const int value : result.inputs) result.input_gradients.push_back(learns(value));
    for (const int value : result.outputs) result.output_gradients.push_back(learns(value));
    return result;
  }

  /// Values made before layer `border` and read there or behind it; the loss reads the last.
  std::vector<int> crossing(std::size_t border) const {
    if (border == 0) return {kSample};
    if (border == facts_.size()) return {static_cast<int>(border) - 1};
    std::vector<int> values;
    for (std::size_t l = 0; l < border; ++l)
      if (facts_[l].readers.back() >= static_cast<int>(border))
        values.push_back(static_cast<int>(l));
    return values;
  }

  /// Whether the value's gradient is needed.
  bool learns(int value) const {
    if (value == kSample) return false;
    const auto l = static_cast<std::size_t>(value);
    const std::vector<bool>& inputs = input_gradients_[l];
    return facts_[l].weights_bytes > 0 ||
           std::find(inputs.begin(), inputs.end(), true) != inputs.end();
  }

  ChainLayer make(const PlanStage& plan, int worker, Team& team) const {
    const Layer& layer = model_.layers[next_];
    const LayerFacts& facts = facts_[next_];
    const int index = static_cast<int>(next_);
    ChainLayer made;
    if (contains(plan.feature_layers, layer.name)) {
      made.slice = make_feature_op(layer, facts, index, {worker, plan.workers()});
      made.input_features = facts.input_shape[0];
      made.output_features = facts.output_shape[0];
      made.columns_only = facts.type != "linear";
    } else {
      made.op = make_layer_op(layer, facts, index, implementations_[next_], fusions_[next_],
                              team.replicas[static_cast<std::size_t>(worker)].get());
    }
    made.recompute = contains(plan.recompute, layer.name);
    made.producers = facts.producers;
    made.readers = std::max<int>(1, static_cast<int>(facts.readers.size()));  // the loss
    made.input_gradients = input_gradients_[next_];
    made.whole_parameters = parameters_of(layer);
    return made;
  }

  /// "" where the plan names none; a slice has no choice.
  static std::string chosen(const Plan& plan, const std::string& layer) {
    for (const PlanStage& stage : plan.stages) {
      const auto found = stage.implementations.find(layer);
      if (found == stage.implementations.end()) continue;
      return contains(stage.feature_layers, layer) ? "" : found->second.forward;
    }
    return "";
  }

  const Model& model_;
  const std::vector<LayerFacts>& facts_;
  std::vector<std::string> implementations_;  ///< by layer
  std::vector<std::vector<bool>> input_gradients_;
  std::vector<Fusion> fusions_;
  std::size_t next_ = 0;  ///< layer of the model
};

void check_model_fits(const Model& model, const std::vector<LayerFacts>& facts) {
  MILLRACE_CHECK(model.layers.size() == facts.size() && !facts.empty(), "stages",
                 "facts are needed for every layer");
  const auto& output = facts.back().output_shape;
  if (!model.loss && output.size() != 1) {
    throw ConfigError("model", fmt::format("the output of a sample is [{}], softmax cross-entropy "
                                           "needs one row of class scores: add a Flatten layer, or "
                                           "give the model a loss of its own",
                                           fmt::join(output, ", ")));
  }
  std::set<const void*> seen;
  for (const Layer& layer : model.layers)
    for (const at::Tensor& value : parameters_of(layer))
      if (value.numel() > 0 && !seen.insert(value.data_ptr()).second)
        throw ConfigError("model", fmt::format("layer {} shares a parameter with another layer: "
                                               "give each layer its own",
                                               layer.name));
}

std::string text(at::IntArrayRef shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace

struct StageSet::Parts {
  const Model model;
  const std::vector<LayerFacts> facts;
  const std::int64_t batch;
  const OptimizerSettings optimizer;
  const LearningRateSchedule learning_rate;
  StepContext context;
  std::vector<std::unique_ptr<TorchStage>> stages;
  double gradient_norm = 0;

  void check_inputs(const at::Tensor& inputs) const;
  void check_targets(const at::Tensor& targets, std::int64_t samples) const;
  void begin(Pass pass, const at::Tensor& inputs, const at::Tensor& targets);
};

void StageSet::Parts::check_inputs(const at::Tensor& inputs) const {
  const bool fits = inputs.defined() && inputs.dim() > 0 && inputs.scalar_type() == at::kFloat &&
                    inputs.sizes().slice(1) == at::IntArrayRef(model.sample_shape);
  if (!fits) {
    throw ConfigError(
        "batch", fmt::format("the inputs are {} {}, the model {} takes Float [n, {}]",
                             c10::toString(inputs.scalar_type()), text(inputs.sizes()), model.name,
                             fmt::join(model.sample_shape, ", ")));
  }
  if (inputs.size(0) < 1 || inputs.size(0) > batch) {
    throw ConfigError("batch", fmt::format("the batch has {} samples, the plan is for 1 to {}: "
                                           "divide it, or plan with a larger --batch",
                                           inputs.size(0), batch));
  }
}

void StageSet::Parts::check_targets(const at::Tensor& targets, std::int64_t samples) const {
  if (targets.dim() == 0 || targets.size(0) != samples) {
    throw ConfigError("batch", fmt::format("the inputs have {} samples, the targets {}: give one "
                                           "target per sample",
                                           samples, text(targets.sizes())));
  }
  if (!model.loss && (targets.scalar_type() != at::kLong || targets.dim() != 1)) {
    throw ConfigError("batch",
                      fmt::format("the targets are {} {}, softmax cross-entropy takes "
                                  "Long [n]: convert them, or give the model its own loss",
                                  c10::toString(targets.scalar_type()), text(targets.sizes())));
  }
}

void StageSet::Parts::begin(Pass pass, const at::Tensor& inputs, const at::Tensor& targets) {
  check_inputs(inputs);
  if (pass != Pass::prediction) check_targets(targets, inputs.size(0));
  context.pass = pass;
  context.inputs = inputs.detach();
  context.targets = targets;
  context.samples = inputs.size(0);
  context.outputs.reset();
  context.clip_scale = 1;
  gradient_norm = 0;
  if (pass == Pass::prediction) {
    std::vector<std::int64_t> shape = facts.back().output_shape;
    shape.insert(shape.begin(), context.samples);
    context.outputs = at::empty(shape, at::kFloat);
  }
  for (const auto& stage : stages) stage->begin_step();
}

StageSet::StageSet(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
StageSet::StageSet(StageSet&&) noexcept = default;
StageSet& StageSet::operator=(StageSet&&) noexcept = default;
StageSet::~StageSet() = default;

std::vector<StageRunner*> StageSet::runners() {
  std::vector<StageRunner*> runners;
  for (const auto& stage : parts_->stages) runners.push_back(stage.get());
  return runners;
}

void StageSet::begin_training(const at::Tensor& inputs, const at::Tensor& targets,
                              std::int64_t step) {
  parts_->context.step = step;
  parts_->context.learning_rate =
      parts_->optimizer.learning_rate * parts_->learning_rate.factor(step);
  parts_->begin(Pass::training, inputs, targets);
}

void StageSet::begin_evaluation(const at::Tensor& inputs, const at::Tensor& targets) {
  parts_->begin(Pass::evaluation, inputs, targets);
}

void StageSet::begin_prediction(const at::Tensor& inputs) {
  parts_->begin(Pass::prediction, inputs, {});
}

StepResults StageSet::results() const {
  const TorchStage& last = *parts_->stages.back();
  const std::int64_t samples = parts_->context.samples;
  return {samples, last.loss_sum() / static_cast<double>(samples), last.correct(),
          parts_->gradient_norm};
}

at::Tensor StageSet::outputs() const { return parts_->context.outputs; }

bool StageSet::clips_gradients() const { return parts_->optimizer.clip_norm > 0; }

void StageSet::clip_gradients() {
  double squares = 0;
  for (const auto& stage : parts_->stages) squares += stage->squared_norm();
  parts_->gradient_norm = std::sqrt(squares);
  // torch::nn::utils::clip_grad_norm_'s formula
  const double scale = parts_->optimizer.clip_norm / (parts_->gradient_norm + 1e-6);
  parts_->context.clip_scale = static_cast<float>(std::min(1.0, scale));
}

/// Weights, running statistics, optimizer.
std::vector<StateTensor> StageSet::state() {
  std::vector<StateTensor> result, optimizer;
  for (const auto& stage : parts_->stages) {
    const auto append = [](std::vector<StateTensor>& to, const std::vector<StateTensor>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(result, stage->parameters().weights());
    append(optimizer, stage->parameters().optimizer_state());
  }
  for (const auto& [name, value] : named_buffers(parts_->model))
    result.push_back({name, value.sizes().vec(), value.data_ptr<float>(), value.numel()});
  result.insert(result.end(), optimizer.begin(), optimizer.end());
  return result;
}

StageSet build_stages(const Model& model, const std::vector<LayerFacts>& facts, const Plan& plan,
                      const OptimizerSettings& optimizer, const LearningRateSchedule& learning_rate,
                      std::uint64_t seed) {
  check(optimizer);
  check(learning_rate);
  check_model_fits(model, facts);
  auto parts = std::make_unique<StageSet::Parts>(
      StageSet::Parts{model, facts, plan.batch, optimizer, learning_rate, {}, {}, 0});
  parts->context.seed = seed;
  parts->context.micro_batch = plan.micro_batch;
  Cutter cutter(parts->model, parts->facts, plan);
  for (const PlanStage& stage : plan.stages) {
    parts->stages.push_back(
        std::make_unique<TorchStage>(cutter.cut(stage), optimizer, parts->context));
    parts->stages.back()->measure_norm(optimizer.clip_norm > 0);
  }
  cutter.check_all_used();
  return StageSet(std::move(parts));
}

}  // namespace millrace
