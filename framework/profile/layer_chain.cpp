#include "framework/profile/layer_chain.hpp"

#include <ATen/ops/full_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "framework/layers/caching_allocator.hpp"
#include "framework/layers/deferred_gradient.hpp"
#include "framework/layers/element_update.hpp"

namespace millrace {
namespace {

/// So small that weights and activations stay as they are, however many passes there are.
constexpr double kLearningRate = 1e-12;
/// As a repeated pass, so that the model's running statistics stay what they are.
constexpr DrawKey kMeasured{.again = true};
/// About what the loss of one sample hands back to one output.
constexpr double kOutputGradient = 1e-3;

template <typename Work>
double timed_ns(const Work& work) {
  const double begin_ns = steady_ns();
  work();
  return steady_ns() - begin_ns;
}

/// SGD with momentum for some columns of a weight whose gradient is formed only now.
void update_deferred(const ParameterSlot& slot, float* momentum, ColumnRange columns,
                     const ElementUpdate& update) {
  if (columns.empty()) return;
  float* const w = slot.value.data_ptr<float>();
  DeferredGradient({&slot}, columns)
      .for_each_run({w, momentum},
                    [&](std::int64_t, std::int64_t first, const float* gradient, std::int64_t n) {
                      update(w + first, momentum + first, nullptr, gradient, n);
                    });
}

/// Deferred gradients are those of one pass: what a step of so many samples keeps.
void begin_layer(LayerOp& op, bool accumulate) {
  if (!accumulate) return op.clear_gradients();
  for (ParameterSlot& slot : op.parameters()) slot.products.clear();
}

std::size_t slot(int producer) { return static_cast<std::size_t>(producer - kSample); }

/// Of those that the allocator's statistics count.
double gradient_bytes(LayerOp& op) {
  double total = 0;
  for (const ParameterSlot& slot : op.parameters())
    if (slot.gradient.defined() && slot.gradient.nbytes() >= kSmallestCachedBlock)
      total += static_cast<double>(slot.gradient.nbytes());
  return total;
}

}  // namespace

/// Memory in use while it lives, of the whole process.
class LayerChain::WatchedMemory {
 public:
  WatchedMemory() {
    reset_allocator_peak();
    before_ = allocator_statistics().in_use_bytes;
  }
  double beyond_result() const {
    const AllocatorStatistics now = allocator_statistics();
    return static_cast<double>(now.peak_bytes - std::max(before_, now.in_use_bytes));
  }
  double beyond_start() const {
    return static_cast<double>(allocator_statistics().peak_bytes - before_);
  }

 private:
  std::int64_t before_ = 0;
};

double steady_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::nano>(now).count();
}

ScratchWeights::ScratchWeights(const Model& model) {
  for (const auto& [name, parameter] : named_parameters(model)) {
    values_[name] = parameter.detach().contiguous().clone();
    momenta_[name] = at::zeros_like(values_[name]);
  }
}

LayerChain::LayerChain(const Model& model, const std::vector<LayerFacts>& facts,
                       const ChainChoice& choice, ScratchWeights& weights, Replicas* replicas)
    : model_(model),
      last_reader_(facts.size() + 1, 0),
      input_gradients_(input_gradients(facts)),
      weights_(weights) {
  const std::vector<Fusion> fused = fusions(facts, choice);
  std::vector<OutputFacts> outputs;
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    auto op = make_layer_op(model.layers[l], facts[l], static_cast<int>(l), choice[l], fused[l],
                            replicas);
    for (ParameterSlot& slot : op->parameters()) slot.value = weights_.values_.at(slot.name);
    outputs.push_back({op->output_use(), facts[l].producers, facts[l].uses()});
    ends_.push_back(facts[l].auxiliary_weight > 0 || l + 1 == facts.size());
    for (const int producer : facts[l].producers)
      last_reader_[slot(producer)] = static_cast<int>(l);
    producers_.push_back(facts[l].producers);
    ops_.push_back(std::move(op));
  }
  may_overwrite_input_ = may_overwrite_inputs(outputs, std::vector<int>(outputs.size(), 0));
}

const at::Tensor& LayerChain::input(std::int64_t samples) {
  if (!input_.defined() || input_.size(0) != samples) input_ = random_inputs(model_, samples);
  return input_;
}

/// Values that nobody reads after it are handed over.
std::vector<at::Tensor> LayerChain::inputs_of(std::size_t l, Values& values) const {
  std::vector<at::Tensor> inputs;
  for (const int producer : producers_[l]) inputs.push_back(values[slot(producer)]);
  for (const int producer : producers_[l])
    if (last_reader_[slot(producer)] == static_cast<int>(l)) values[slot(producer)].reset();
  return inputs;
}

/// Both in one pass; only what is apart has a second time.
LayerChain::PartTimes LayerChain::run_backward(std::size_t l, Saved& saved, Gradients& gradients,
                                               Backward backward) {
  const std::vector<bool>& wanted = input_gradients_[l];
  LayerOp& op = *ops_[l];
  Gradient dy = std::exchange(gradients[slot(static_cast<int>(l))], {});
  if (!dy.value.defined()) return {};
  PartTimes times;
  times.first_ns = timed_ns([&] {
    if (dy.shared && op.writes_gradient()) dy = {dy.value.clone(), false};
    std::vector<Gradient> dxs =
        passed_on(dy, backward == Backward::apart ? op.input_gradient(dy.value, saved, wanted)
                                                  : op.backward(dy.value, saved, wanted));
    dy = {};
    for (std::size_t i = 0; i < dxs.size(); ++i) {
      Gradient& sum = gradients[slot(producers_[l][i])];
      if (wanted[i]) sum = add_gradients(std::move(sum), std::move(dxs[i]));
    }
  });
  if (backward == Backward::apart && !saved.empty())
    times.second_ns = timed_ns([&] { op.weight_gradient(saved); });
  return times;
}

PassTimes LayerChain::forward_backward(std::int64_t samples, bool accumulate,
                                       const BeforeLayer& before, Backward backward) {
  PassTimes times;
  const bool apart = backward == Backward::apart;
  std::vector<double>& first_ns = apart ? times.input_gradient_ns : times.backward_ns;
  first_ns.resize(ops_.size());
  if (apart) times.weight_gradient_ns.resize(ops_.size());
  std::vector<Saved> saved(ops_.size());
  Gradients gradients(ops_.size() + 1);
  Values values(ops_.size() + 1);
  values.front() = input(samples);
  workspace_ = &workspace_bytes_[samples];
  workspace_->resize(ops_.size());
  for (std::size_t l = 0; l < ops_.size(); ++l) {
    if (before) before(l);
    begin_layer(*ops_[l], accumulate);
    const WatchedMemory memory;
    times.forward_ns.push_back(timed_ns([&] {
      values[l + 1] = ops_[l]->forward(inputs_of(l, values), kMeasured, true, &saved[l],
                                       may_overwrite_input_[l]);
    }));
    note_workspace(l, memory.beyond_result());
    if (ends_[l]) gradients[l + 1].value = at::full_like(values[l + 1], kOutputGradient);
  }
  values.clear();
  for (std::size_t l = ops_.size(); l-- > 0;) {
    if (before) before(l);
    const double had = gradient_bytes(*ops_[l]);
    const WatchedMemory memory;
    const PartTimes parts = run_backward(l, saved[l], gradients, backward);
    first_ns[l] = parts.first_ns;
    if (apart) times.weight_gradient_ns[l] = parts.second_ns;
    const double made = gradient_bytes(*ops_[l]) - had;
    note_workspace(l, memory.beyond_start() - made);
  }
  return times;
}

void LayerChain::note_workspace(std::size_t l, double bytes) {
  (*workspace_)[l] = std::max((*workspace_)[l], bytes);
}

void LayerChain::update(PassTimes& times, int part, int parts) {
  const ElementUpdate sgd = element_update(OptimizerSettings{}, kLearningRate, 0, 1);
  for (std::size_t l = 0; l < ops_.size(); ++l) {
    const WatchedMemory memory;
    times.update_ns.push_back(timed_ns([&] {
      for (const ParameterSlot& slot : ops_[l]->parameters()) {
        float* const momentum = weights_.momenta_.at(slot.name).data_ptr<float>();
        if (slot.deferred) {
          update_deferred(
              slot, momentum,
              columns_between(slot.value.size(1), 1.0 * part / parts, (1.0 + part) / parts), sgd);
        } else if (slot.gradient.defined()) {
          const std::int64_t n = slot.value.numel(), begin = n * part / parts;
          sgd(slot.value.data_ptr<float>() + begin, momentum + begin, nullptr,
              slot.gradient.data_ptr<float>() + begin, n * (part + 1) / parts - begin);
        }
      }
    }));
    note_workspace(l, memory.beyond_start());
  }
}

}  // namespace millrace
