#include "framework/stages/build_stages.hpp"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
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

/// Makes the layers of each stage; keeps count of which layers of the model have one.
class Cutter {
 public:
  Cutter(const Model& model, const std::vector<LayerFacts>& facts, const Plan& plan)
      : model_(model),
        facts_(facts),
        input_gradients_(input_gradients(facts)),
        cut_(model.layers.size(), false) {
    for (const Layer& layer : model.layers) implementations_.push_back(chosen(plan, layer.name));
    fusions_ = fusions(facts, implementations_);
  }

  StageDesign cut(const PlanStage& plan) {
    StageDesign design{plan, count() == 0, model_.loss, {}, {}, {}, {}};
    const int workers = plan.workers();
    design.team = std::make_unique<Team>(workers);
    design.layers.resize(static_cast<std::size_t>(workers));
    design.borders.inputs = crossing();
    for (const std::size_t layer : layers_of(plan)) {
      take(layer);
      for (int worker = 0; worker < workers; ++worker)
        design.layers[static_cast<std::size_t>(worker)].push_back(
            make(layer, plan, worker, *design.team));
      add_loss(layer, design);
    }
    design.borders.outputs = crossing();
    for (const int value : design.borders.inputs)
      design.borders.input_gradients.push_back(learns(value));
    for (const int value : design.borders.inputs)
      design.borders.evaluated_inputs.push_back(
          value == kSample || !facts_[static_cast<std::size_t>(value)].training_only);
    for (const int value : design.borders.outputs)
      design.borders.output_gradients.push_back(learns(value));
    return design;
  }

  void check_all_used() const {
    const auto left = std::find(cut_.begin(), cut_.end(), false);
    if (left != cut_.end()) refuse(layer_name(left - cut_.begin()), "is in no stage of the plan");
  }

 private:
  std::ptrdiff_t count() const { return std::count(cut_.begin(), cut_.end(), true); }

  const std::string& layer_name(std::ptrdiff_t layer) const {
    return model_.layers[static_cast<std::size_t>(layer)].name;
  }

  /// In the model's order, whatever the plan's is.
  std::vector<std::size_t> layers_of(const PlanStage& plan) const {
    std::vector<std::size_t> result;
    for (const std::string& name : plan.layers) {
      const auto same = [&](const Layer& layer) { return layer.name == name; };
      const auto found = std::find_if(model_.layers.begin(), model_.layers.end(), same);
      if (found == model_.layers.end()) refuse(name, "is in the plan and not in the model");
      result.push_back(static_cast<std::size_t>(found - model_.layers.begin()));
    }
    std::sort(result.begin(), result.end());
    return result;
  }

  /// Counts the layer as cut, once it may run.
  void take(std::size_t layer) {
    if (cut_[layer]) refuse(model_.layers[layer].name, "is twice in the plan");
    for (const int producer : facts_[layer].producers)
      if (producer != kSample && !cut_[static_cast<std::size_t>(producer)])
        refuse(model_.layers[layer].name,
               "reads " + layer_name(producer) + ", which a later stage of the plan has");
    cut_[layer] = true;
  }

  /// Where the layer's output goes to the loss.
  void add_loss(std::size_t layer, StageDesign& design) const {
    const bool main = layer + 1 == facts_.size();
    const double weight = main ? 1 : facts_[layer].auxiliary_weight;
    if (weight == 0) return;
    design.losses.push_back({weight, main});
    design.borders.losses.push_back(static_cast<int>(layer));
  }

  [[noreturn]] void refuse(const std::string& layer, const std::string& problem) const {
    throw ConfigError("plan", fmt::format("layer {} {}: make a plan for this model, {}", layer,
                                          problem, model_.name));
  }

  /// Values made in the stages so far and read by layers behind them.
  std::vector<int> crossing() const {
    if (count() == 0) return {kSample};
    std::vector<int> values;
    for (std::size_t l = 0; l < cut_.size(); ++l) {
      const std::vector<int>& readers = facts_[l].readers;
      const auto behind = [&](int reader) { return !cut_[static_cast<std::size_t>(reader)]; };
      if (cut_[l] && std::any_of(readers.begin(), readers.end(), behind))
        values.push_back(static_cast<int>(l));
    }
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

  ChainLayer make(std::size_t l, const PlanStage& plan, int worker, Team& team) const {
    const Layer& layer = model_.layers[l];
    const LayerFacts& facts = facts_[l];
    const int index = static_cast<int>(l);
    ChainLayer made;
    made.index = index;
    if (contains(plan.feature_layers, layer.name)) {
      made.slice = make_feature_op(layer, facts, index, slice_of(plan.feature_parts(), worker));
      made.input_features = facts.input_shape[0];
      made.output_features = facts.output_shape[0];
      made.columns_only = facts.type != "linear";
    } else {
      made.op = make_layer_op(layer, facts, index, implementations_[l], fusions_[l],
                              team.replicas[static_cast<std::size_t>(worker)].get());
    }
    made.recompute = contains(plan.recompute, layer.name);
    made.producers = facts.producers;
    made.readers = facts.uses();
    made.training_only = facts.training_only;
    made.input_gradients = input_gradients_[l];
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
  std::vector<bool> cut_;  ///< by layer: it has a stage
};

/// By what stands before the parameter's name (`words`, each with a dot), then as the model has the
/// parameters.
void sort_by_parameter(const Model& model, std::vector<StateTensor>& tensors, int words) {
  std::map<std::string, std::size_t> rank;
  for (const Layer& layer : model.layers)
    for (const auto& parameter : layer.module.ptr()->named_parameters())
      rank.emplace(layer.name + "." + parameter.key(), rank.size());
  const auto key = [&](const StateTensor& tensor) {
    std::size_t begin = 0;
    for (int word = 0; word < words; ++word) begin = tensor.name.find('.', begin) + 1;
    return std::pair(tensor.name.substr(0, begin), rank.at(tensor.name.substr(begin)));
  };
  std::sort(tensors.begin(), tensors.end(),
            [&](const StateTensor& a, const StateTensor& b) { return key(a) < key(b); });
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
  const at::ScalarType type = model.vocabulary > 0 ? at::kLong : at::kFloat;
  const bool fits = inputs.defined() && inputs.dim() > 0 && inputs.scalar_type() == type &&
                    inputs.sizes().slice(1) == at::IntArrayRef(model.sample_shape);
  if (!fits) {
    throw ConfigError(
        "batch", fmt::format("the inputs are {} {}, the model {} takes {} [n, {}]",
                             c10::toString(inputs.scalar_type()), text(inputs.sizes()), model.name,
                             c10::toString(type), fmt::join(model.sample_shape, ", ")));
  }
  if (model.vocabulary > 0 && inputs.numel() > 0) {
    const auto least = inputs.min().item<std::int64_t>(), most = inputs.max().item<std::int64_t>();
    if (least < 0 || most >= model.vocabulary)
      throw ConfigError(
          "batch",
          fmt::format("the inputs have the token id {}, the model {} knows 0 to {}: encode "
                      "them with its own vocabulary",
                      least < 0 ? least : most, model.name, model.vocabulary - 1));
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
  if (model.loss) return;
  std::vector<std::int64_t> shape = facts.back().output_shape;  // without the classes, one label
  shape.pop_back();
  shape.insert(shape.begin(), samples);
  if (targets.scalar_type() != at::kLong || targets.sizes() != at::IntArrayRef(shape)) {
    throw ConfigError("batch", fmt::format("the targets are {} {}, softmax cross-entropy takes "
                                           "Long {}: convert them, or give the model its own loss",
                                           c10::toString(targets.scalar_type()),
                                           text(targets.sizes()), text(shape)));
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
                              std::int64_t step, bool learns) {
  parts_->context.step = step;
  parts_->context.learning_rate =
      learns ? parts_->optimizer.learning_rate * parts_->learning_rate.factor(step) : 0;
  parts_->begin(Pass::training, inputs, targets);
}

void StageSet::begin_evaluation(const at::Tensor& inputs, const at::Tensor& targets) {
  parts_->begin(Pass::evaluation, inputs, targets);
}

void StageSet::begin_prediction(const at::Tensor& inputs) {
  parts_->begin(Pass::prediction, inputs, {});
}

StepResults StageSet::results() const {
  double loss_sum = 0;
  std::int64_t correct = 0;
  for (const auto& stage : parts_->stages) {
    loss_sum += stage->loss_sum();
    correct += stage->correct();
  }
  const std::int64_t samples = parts_->context.samples;
  const at::Tensor& targets = parts_->context.targets;
  const std::int64_t answers = targets.defined() ? targets.numel() : 0;
  return {samples, loss_sum / static_cast<double>(samples), answers, correct,
          parts_->gradient_norm};
}

at::Tensor StageSet::outputs() const { return parts_->context.outputs; }

bool StageSet::clips_gradients() const { return parts_->optimizer.clip_norm > 0; }

void StageSet::clip_gradients() {
  double squares = 0;
  for (const auto& stage : parts_->stages) squares += stage->squared_norm();
  parts_->gradient_norm = std::sqrt(squares);
  // torch::nn::utils::clip_grad_norm_'s formula: a norm that is no number reaches every gradient
  const double scale = parts_->optimizer.clip_norm / (parts_->gradient_norm + 1e-6);
  parts_->context.clip_scale = static_cast<float>(scale > 1 ? 1 : scale);
}

/// Weights, running statistics, optimizer; the same order under every plan.
std::vector<StateTensor> StageSet::state() {
  std::vector<StateTensor> result, optimizer;
  for (const auto& stage : parts_->stages) {
    const auto append = [](std::vector<StateTensor>& to, const std::vector<StateTensor>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(result, stage->parameters().weights());
    append(optimizer, stage->parameters().optimizer_state());
  }
  sort_by_parameter(parts_->model, result, 0);
  sort_by_parameter(parts_->model, optimizer, 2);
  for (const auto& [name, value] : named_buffers(parts_->model))
    result.push_back({name, value.sizes().vec(), value.data_ptr<float>(), value.numel()});
  result.insert(result.end(), optimizer.begin(), optimizer.end());
  return result;
}

void StageSet::forget_steps() {
  for (const auto& [name, tensor] : optimizer_state()) tensor.zero_();
}

OptimizerState StageSet::optimizer_state() const {
  OptimizerState result;
  for (const auto& stage : parts_->stages) result.merge(stage->parameters().optimizer_tensors());
  return result;
}

StageSet build_stages(const Model& model, const std::vector<LayerFacts>& facts, const Plan& plan,
                      const OptimizerSettings& optimizer, const LearningRateSchedule& learning_rate,
                      std::uint64_t seed, const OptimizerState& kept) {
  check(optimizer);
  check(learning_rate);
  MILLRACE_CHECK(model.layers.size() == facts.size() && !facts.empty(), "stages",
                 "facts are needed for every layer");
  auto parts = std::make_unique<StageSet::Parts>(
      StageSet::Parts{model, facts, plan.batch, optimizer, learning_rate, {}, {}, 0});
  parts->context.seed = seed;
  parts->context.micro_batch = plan.micro_batch;
  Cutter cutter(parts->model, parts->facts, plan);
  for (const PlanStage& stage : plan.stages) {
    parts->stages.push_back(
        std::make_unique<TorchStage>(cutter.cut(stage), optimizer, kept, parts->context));
    parts->stages.back()->measure_norm(optimizer.clip_norm > 0);
  }
  cutter.check_all_used();
  return StageSet(std::move(parts));
}

}  // namespace millrace
