#include "framework/stages/worker_chain.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace millrace {
namespace {

OutputUse output_use(const ChainLayer& layer) {
  if (layer.op) return layer.op->output_use();
  return layer.columns_only ? OutputUse::kept : OutputUse::free;
}

std::size_t index(std::int64_t number) { return static_cast<std::size_t>(number); }

}  // namespace

std::vector<ParameterSlot>& ChainLayer::parameters() {
  return op ? op->parameters() : slice->parameters();
}

void ChainLayer::clear_gradients() { return op ? op->clear_gradients() : slice->clear_gradients(); }

WorkerChain::WorkerChain(std::vector<ChainLayer> layers, ChainBorders borders, Team& team)
    : layers_(std::move(layers)), borders_(std::move(borders)), team_(&team) {
  int last = name(layers_.size() - 1);
  for (const int value : borders_.inputs) last = std::max(last, value);
  values_.resize(slot(last) + 1);
  gradients_.resize(values_.size());
  find_releases();
  std::vector<OutputFacts> outputs;
  std::vector<int> begins_anew;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    std::vector<int> makers;
    for (const int producer : layers_[l].producers) makers.push_back(maker(producer));
    outputs.push_back({output_use(layers_[l]), std::move(makers), layers_[l].readers});
    begins_anew.push_back(layers_[l].recompute ? static_cast<int>(run_begin(l)) : 0);
  }
  may_overwrite_input_ = may_overwrite_inputs(outputs, begins_anew);
}

int WorkerChain::maker(int producer) const {
  const auto found = std::find_if(layers_.begin(), layers_.end(),
                                  [&](const ChainLayer& layer) { return layer.index == producer; });
  return found == layers_.end() ? -1 : static_cast<int>(found - layers_.begin());
}

void WorkerChain::find_releases() {
  releases_.resize(layers_.size());
  std::set<int> needed(borders_.outputs.begin(), borders_.outputs.end());
  needed.insert(borders_.losses.begin(), borders_.losses.end());
  for (std::size_t l = layers_.size(); l-- > 0;)
    for (const int producer : layers_[l].producers)
      if (needed.insert(producer).second) releases_[l].push_back(producer);
}

void WorkerChain::begin_step(std::int64_t micro_batches, std::uint64_t seed, std::int64_t step) {
  kept_.assign(index(micro_batches),
               Kept{std::vector<Saved>(layers_.size()), std::vector<NamedValues>(layers_.size())});
  values_.assign(values_.size(), {});
  gradients_.assign(gradients_.size(), {});
  next_buffer_ = 0;
  seed_ = seed;
  step_ = step;
  for (ChainLayer& layer : layers_) layer.clear_gradients();
}

void WorkerChain::end_step() {
  for (ChainLayer& layer : layers_)
    if (layer.op) layer.op->end_step();
}

ChainEnds WorkerChain::forward(const WorkerRows& rows, std::vector<at::Tensor> xs, bool training) {
  for (std::size_t i = 0; i < xs.size(); ++i)
    values_[slot(borders_.inputs[i])] = {std::move(xs[i]), Form::rows};
  run(rows, 0, layers_.size(), training, false);
  ChainEnds ends{rows_of_values(rows, borders_.outputs), rows_of_values(rows, borders_.losses)};
  values_.assign(values_.size(), {});
  return ends;
}

std::vector<at::Tensor> WorkerChain::rows_of_values(const WorkerRows& rows,
                                                    const std::vector<int>& values) {
  std::vector<at::Tensor> result;
  for (const int value : values) result.push_back(as_rows(rows, values_[slot(value)]).tensor);
  return result;
}

std::vector<at::Tensor> WorkerChain::backward(const WorkerRows& rows, ChainEnds dys,
                                              WeightGradients weights) {
  for (std::size_t i = 0; i < dys.outputs.size(); ++i)
    if (borders_.output_gradients[i])
      gradients_[slot(borders_.outputs[i])] = {{std::move(dys.outputs[i]), Form::rows}, false};
  for (std::size_t i = 0; i < dys.losses.size(); ++i)
    add_gradient(rows, borders_.losses[i], {{std::move(dys.losses[i]), Form::rows}, false});
  for (std::size_t l = layers_.size(); l-- > 0;) {
    std::optional<PartialGradient> dy = std::exchange(gradients_[slot(name(l))], {});
    if (!dy || !needs_backward(l)) continue;
    if (layers_[l].recompute) recompute_run_to(rows, l);
    if (layers_[l].op) {
      backward_rows(rows, l, std::move(*dy), weights);
    } else {
      backward_slice(rows, l, std::move(*dy));
    }
  }
  Kept& kept = kept_[index(rows.micro_batch)];
  kept = {{}, {}, std::move(kept.weights)};
  std::vector<at::Tensor> dxs;
  for (std::size_t i = 0; i < borders_.inputs.size(); ++i) {
    auto gradient = std::exchange(gradients_[slot(borders_.inputs[i])], {});
    dxs.push_back(borders_.input_gradients[i] ? own_rows(rows, std::move(*gradient))
                                              : at::Tensor());
  }
  return dxs;
}

void WorkerChain::weight_gradients(std::int64_t micro_batch) {
  auto& waiting = kept_[index(micro_batch)].weights;
  for (auto& [l, saved] : waiting) layers_[l].op->weight_gradient(saved);
  waiting.clear();
}

/// Layers begin … end - 1. `again`: their recomputation, in which all of them save.
void WorkerChain::run(const WorkerRows& rows, std::size_t begin, std::size_t end, bool training,
                      bool again) {
  for (std::size_t l = begin; l < end; ++l) {
    ChainLayer& layer = layers_[l];
    if (layer.training_only && !training) continue;
    Kept& kept = kept_[index(rows.micro_batch)];
    if (training && !again && begins_run(l)) kept.run_inputs[l] = run_inputs(l);
    Saved* saved = training && (again || !layer.recompute) ? &kept.saved[l] : nullptr;
    const DrawKey key{seed_, step_, rows.first_sample, again};
    Activation y = layer.op ? forward_rows(rows, l, key, training, saved)
                            : forward_slice(rows, l, key, training, saved);
    values_[slot(name(l))] = std::move(y);
  }
}

/// What the layer reads. Values that nobody reads after it are handed over, so that nobody else
/// holds them.
std::vector<WorkerChain::Activation> WorkerChain::take_inputs(std::size_t l) {
  std::vector<Activation> inputs;
  for (const int producer : layers_[l].producers) inputs.push_back(values_[slot(producer)]);
  for (const int producer : releases_[l]) values_[slot(producer)] = {};
  return inputs;
}

WorkerChain::Activation WorkerChain::forward_rows(const WorkerRows& rows, std::size_t l,
                                                  DrawKey key, bool training, Saved* saved) {
  LayerOp& op = *layers_[l].op;
  std::vector<at::Tensor> xs;
  for (Activation& x : take_inputs(l)) xs.push_back(as_rows(rows, std::move(x)).tensor);
  if (rows.count == 0 && !op.meets_replicas()) return {};
  key.first_sample += rows.begin;
  return {op.forward(xs, key, training, saved, may_overwrite_input_[l]), Form::rows};
}

WorkerChain::Activation WorkerChain::forward_slice(const WorkerRows& rows, std::size_t l,
                                                   const DrawKey& key, bool training,
                                                   Saved* saved) {
  ChainLayer& layer = layers_[l];
  Activation x = std::move(take_inputs(l).front());
  if (!layer.columns_only || x.form == Form::rows)
    x = as_whole(rows, std::move(x), layer.input_features);
  at::Tensor y = layer.columns_only && may_overwrite_input_[l]
                     ? x.tensor
                     : next_buffer(rows.samples, layer.output_features);
  layer.slice->forward(x.tensor, y, key, training, saved);
  return {y, Form::columns};
}

void WorkerChain::backward_rows(const WorkerRows& rows, std::size_t l, PartialGradient dy,
                                WeightGradients weights) {
  ChainLayer& layer = layers_[l];
  Gradient own{as_rows(rows, std::move(dy.value)).tensor, dy.shared};
  std::vector<Gradient> dxs(layer.producers.size());
  if (rows.count > 0 || layer.op->meets_replicas()) {
    if (own.shared && layer.op->writes_gradient()) own = {own.value.clone(), false};
    dxs = passed_on(own, backward_op(kept_[index(rows.micro_batch)], l, own.value, weights));
  }
  own = {};
  for (std::size_t i = 0; i < dxs.size(); ++i) {
    if (!layer.input_gradients[i]) continue;
    add_gradient(rows, layer.producers[i], {{std::move(dxs[i].value), Form::rows}, dxs[i].shared});
  }
}

std::vector<at::Tensor> WorkerChain::backward_op(Kept& kept, std::size_t l, const at::Tensor& dy,
                                                 WeightGradients weights) {
  ChainLayer& layer = layers_[l];
  Saved saved = std::move(kept.saved[l]);
  if (weights == WeightGradients::now) return layer.op->backward(dy, saved, layer.input_gradients);
  std::vector<at::Tensor> dxs = layer.op->input_gradient(dy, saved, layer.input_gradients);
  if (!saved.empty()) kept.weights.emplace_back(l, std::move(saved));
  return dxs;
}

void WorkerChain::backward_slice(const WorkerRows& rows, std::size_t l, PartialGradient dy) {
  ChainLayer& layer = layers_[l];
  Activation whole = std::move(dy.value);
  if (!layer.columns_only || whole.form == Form::rows)
    whole = as_whole(rows, std::move(whole), layer.output_features);
  at::Tensor dx;
  const bool wanted = layer.input_gradients.front();
  if (wanted)
    dx = layer.columns_only ? whole.tensor : next_buffer(rows.samples, layer.input_features);
  Saved& saved = kept_[index(rows.micro_batch)].saved[l];
  layer.slice->backward(whole.tensor, dx, saved, wanted);
  if (wanted) add_gradient(rows, layer.producers.front(), {{dx, Form::columns}, false});
}

void WorkerChain::add_gradient(const WorkerRows& rows, int producer, PartialGradient part) {
  std::optional<PartialGradient>& sum = gradients_[slot(producer)];
  if (!sum) {
    sum = std::move(part);
    return;
  }
  const auto own = [&](PartialGradient gradient) {
    return Gradient{as_rows(rows, std::move(gradient.value)).tensor, gradient.shared};
  };
  Gradient first = own(std::move(*sum)), second = own(std::move(part));
  Gradient total = add_gradients(std::move(first), std::move(second));
  sum = PartialGradient{{std::move(total.value), Form::rows}, total.shared};
}

/// For the stage before, which may write to it.
at::Tensor WorkerChain::own_rows(const WorkerRows& rows, PartialGradient gradient) {
  const at::Tensor own = as_rows(rows, std::move(gradient.value)).tensor;
  return gradient.shared && own.defined() ? own.clone() : own;
}

/// What the run that begins with the layer reads of others.
WorkerChain::NamedValues WorkerChain::run_inputs(std::size_t begin) const {
  NamedValues inputs;
  std::set<int> seen;
  for (std::size_t l = begin; l < layers_.size() && run_begin(l) == begin; ++l)
    for (const int producer : layers_[l].producers)
      if (maker(producer) < static_cast<int>(begin) && seen.insert(producer).second)
        inputs.emplace_back(producer, values_[slot(producer)]);
  return inputs;
}

/// Once for the run: the last of its layers that has a gradient is the first to ask.
void WorkerChain::recompute_run_to(const WorkerRows& rows, std::size_t l) {
  const std::size_t begin = run_begin(l);
  NamedValues inputs = std::exchange(kept_[index(rows.micro_batch)].run_inputs[begin], {});
  if (inputs.empty()) return;
  for (auto& [producer, value] : inputs) values_[slot(producer)] = std::move(value);
  inputs.clear();
  run(rows, begin, l + 1, true, true);
  values_.assign(values_.size(), {});
}

bool WorkerChain::begins_run(std::size_t l) const {
  return layers_[l].recompute && (l == 0 || !layers_[l - 1].recompute);
}

/// Of a layer that is recomputed; of another: after the layer.
std::size_t WorkerChain::run_begin(std::size_t l) const {
  std::size_t begin = l + 1;
  while (begin > 0 && layers_[begin - 1].recompute) --begin;
  return begin;
}

bool WorkerChain::needs_backward(std::size_t l) {
  const std::vector<bool>& wanted = layers_[l].input_gradients;
  return !layers_[l].parameters().empty() ||
         std::find(wanted.begin(), wanted.end(), true) != wanted.end();
}

WorkerChain::Activation WorkerChain::as_rows(const WorkerRows& rows, Activation a) {
  if (a.form == Form::rows) return a;
  if (a.form == Form::columns) team_->barrier.arrive_and_wait();
  if (rows.count == 0) return {};
  return {a.tensor.narrow(0, rows.begin, rows.count), Form::rows};
}

WorkerChain::Activation WorkerChain::as_whole(const WorkerRows& rows, Activation a,
                                              std::int64_t features) {
  if (a.form == Form::whole) return a;
  if (a.form == Form::rows) {
    const at::Tensor shared = next_buffer(rows.samples, features);
    if (rows.count > 0) shared.narrow(0, rows.begin, rows.count).copy_(a.tensor);
    a.tensor = shared;
  }
  team_->barrier.arrive_and_wait();
  return {a.tensor, Form::whole};
}

at::Tensor WorkerChain::next_buffer(std::int64_t samples, std::int64_t features) {
  return team_->buffers.get(next_buffer_++, samples, features);
}

}  // namespace millrace
