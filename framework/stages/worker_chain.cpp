#include "framework/stages/worker_chain.hpp"

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

WorkerChain::WorkerChain(std::vector<ChainLayer> layers, Team& team)
    : layers_(std::move(layers)), team_(&team) {
  bool free = false;  // nobody else reads what the layer gets: the stage's input is not its own
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (begins_run(l)) free = false;
    may_overwrite_input_.push_back(free);
    const OutputUse use = output_use(layers_[l]);
    if (use != OutputUse::same_as_x) free = use == OutputUse::free;
  }
}

void WorkerChain::begin_step(std::int64_t micro_batches, std::uint64_t seed, std::int64_t step) {
  kept_.assign(index(micro_batches),
               Kept{std::vector<Saved>(layers_.size()), std::vector<Activation>(layers_.size())});
  next_buffer_ = 0;
  seed_ = seed;
  step_ = step;
  for (ChainLayer& layer : layers_) layer.clear_gradients();
}

at::Tensor WorkerChain::forward(const WorkerRows& rows, const at::Tensor& x, bool training) {
  return as_rows(rows, run(rows, 0, layers_.size(), {x, Form::rows}, training, false)).tensor;
}

at::Tensor WorkerChain::backward(const WorkerRows& rows, const at::Tensor& dy) {
  Activation gradient{dy, Form::rows};
  for (std::size_t l = layers_.size(); l-- > 0 && needs_backward(l);) {
    if (ends_run(l)) recompute_run_ending_at(rows, l);
    gradient = layers_[l].op ? backward_rows(rows, l, std::move(gradient))
                             : backward_slice(rows, l, std::move(gradient));
  }
  kept_[index(rows.micro_batch)] = {};
  return layers_.front().input_gradient ? as_rows(rows, gradient).tensor : at::Tensor();
}

/// Layers begin … end - 1. With `save_all` also those that are to be recomputed save.
WorkerChain::Activation WorkerChain::run(const WorkerRows& rows, std::size_t begin, std::size_t end,
                                         Activation x, bool training, bool save_all) {
  for (std::size_t l = begin; l < end; ++l) {
    Kept& kept = kept_[index(rows.micro_batch)];
    if (training && !save_all && begins_run(l)) kept.run_input[l] = x;
    const bool save = training && (save_all || !layers_[l].recompute);
    Saved* saved = save ? &kept.saved[l] : nullptr;
    x = layers_[l].op ? forward_rows(rows, l, std::move(x), training, saved)
                      : forward_slice(rows, l, std::move(x), training, saved);
  }
  return x;
}

WorkerChain::Activation WorkerChain::forward_rows(const WorkerRows& rows, std::size_t l,
                                                  Activation x, bool training, Saved* saved) {
  const Activation own = as_rows(rows, std::move(x));
  if (rows.count == 0) return own;
  return {layers_[l].op->forward(own.tensor, draws(rows.first_sample + rows.begin), training, saved,
                                 may_overwrite_input_[l]),
          Form::rows};
}

WorkerChain::Activation WorkerChain::forward_slice(const WorkerRows& rows, std::size_t l,
                                                   Activation x, bool training, Saved* saved) {
  ChainLayer& layer = layers_[l];
  if (!layer.columns_only || x.form == Form::rows)
    x = as_whole(rows, std::move(x), layer.input_features);
  at::Tensor y = layer.columns_only && may_overwrite_input_[l]
                     ? x.tensor
                     : next_buffer(rows.samples, layer.output_features);
  layer.slice->forward(x.tensor, y, draws(rows.first_sample), training, saved);
  return {y, Form::columns};
}

WorkerChain::Activation WorkerChain::backward_rows(const WorkerRows& rows, std::size_t l,
                                                   Activation dy) {
  const Activation own = as_rows(rows, std::move(dy));
  if (rows.count == 0) return own;
  Saved& saved = kept_[index(rows.micro_batch)].saved[l];
  return {layers_[l].op->backward(own.tensor, saved, layers_[l].input_gradient), Form::rows};
}

WorkerChain::Activation WorkerChain::backward_slice(const WorkerRows& rows, std::size_t l,
                                                    Activation dy) {
  ChainLayer& layer = layers_[l];
  if (!layer.columns_only || dy.form == Form::rows)
    dy = as_whole(rows, std::move(dy), layer.output_features);
  at::Tensor dx;
  if (layer.input_gradient)
    dx = layer.columns_only ? dy.tensor : next_buffer(rows.samples, layer.input_features);
  Saved& saved = kept_[index(rows.micro_batch)].saved[l];
  layer.slice->backward(dy.tensor, dx, saved, layer.input_gradient);
  return {dx, Form::columns};
}

void WorkerChain::recompute_run_ending_at(const WorkerRows& rows, std::size_t l) {
  std::size_t begin = l;
  while (!begins_run(begin)) --begin;
  Activation x = std::move(kept_[index(rows.micro_batch)].run_input[begin]);
  run(rows, begin, l + 1, std::move(x), true, true);
}

bool WorkerChain::begins_run(std::size_t l) const {
  return layers_[l].recompute && (l == 0 || !layers_[l - 1].recompute);
}

bool WorkerChain::ends_run(std::size_t l) const {
  return layers_[l].recompute && (l + 1 == layers_.size() || !layers_[l + 1].recompute);
}

bool WorkerChain::needs_backward(std::size_t l) {
  return layers_[l].input_gradient || !layers_[l].parameters().empty();
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
