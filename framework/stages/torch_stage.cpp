#include "framework/stages/torch_stage.hpp"

#include <utility>

#include "framework/layers/caching_allocator.hpp"
#include "framework/layers/compute_thread.hpp"

namespace millrace {
namespace {

std::size_t at_index(int number) { return static_cast<std::size_t>(number); }

/// The worker's rows of each of `values` values, or of those that are `wanted`.
std::vector<at::Tensor> gather(const std::vector<Payload>& parts, std::size_t values,
                               const WorkerRows& rows, const std::vector<bool>* wanted = nullptr) {
  std::vector<at::Tensor> gathered(values);
  for (std::size_t v = 0; v < values; ++v)
    if (wanted == nullptr || (*wanted)[v])
      gathered[v] = gather_rows(parts, v, rows.begin, rows.count);
  return gathered;
}

/// Parameter p of layer l as every worker's op holds it.
std::vector<StageParameter> collect_parameters(const std::vector<WorkerChain*>& chains) {
  std::vector<StageParameter> parameters;
  std::vector<ChainLayer>& layers = chains.front()->layers();
  for (std::size_t l = 0; l < layers.size(); ++l)
    for (std::size_t p = 0; p < layers[l].parameters().size(); ++p) {
      StageParameter parameter{layers[l].parameters()[p].name, layers[l].whole_parameters[p], {}};
      for (WorkerChain* chain : chains)
        parameter.slots.push_back(&chain->layers()[l].parameters()[p]);
      parameters.push_back(std::move(parameter));
    }
  return parameters;
}

}  // namespace

TorchStage::TorchStage(StageDesign design, const OptimizerSettings& optimizer,
                       const OptimizerState& kept, const StepContext& context)
    : plan_(std::move(design.plan)),
      first_(design.first),
      loss_(std::move(design.loss)),
      losses_(std::move(design.losses)),
      team_(std::move(design.team)),
      context_(&context),
      workers_([&] {
        std::vector<Worker> workers;
        for (std::vector<ChainLayer>& layers : design.layers)
          workers.push_back({WorkerChain(std::move(layers), design.borders, *team_), {}, 0, false});
        return workers;
      }()),
      parameters_(
          [&] {
            std::vector<WorkerChain*> chains;
            for (Worker& worker : workers_) chains.push_back(&worker.chain);
            return collect_parameters(chains);
          }(),
          plan_.update_shares.empty() ? equal_shares(workers()) : plan_.update_shares, optimizer,
          kept) {}

void TorchStage::begin_step() {
  const std::int64_t micro_batches = micro_batches_of(context_->samples, context_->micro_batch);
  for (Worker& worker : workers_) {
    worker.chain.begin_step(micro_batches, context_->seed, context_->step);
    worker.losses.assign(static_cast<std::size_t>(micro_batches),
                         std::vector<RowsLoss>(losses_.size()));
    worker.squared_norm = 0;
  }
}

void TorchStage::enter(int) { compute_with(plan_.threads_each()); }

Payload TorchStage::forward(int index, int micro_batch, const std::vector<Payload>& inputs) {
  Worker& worker = workers_[at_index(index)];
  const WorkerRows rows = rows_of_worker(index, micro_batch);
  const ChainBorders& borders = worker.chain.borders();
  const bool training = context_->pass == Pass::training;
  std::vector<at::Tensor> xs;
  if (!first_) {
    xs =
        gather(inputs, borders.inputs.size(), rows, training ? nullptr : &borders.evaluated_inputs);
  } else {
    xs.push_back(rows.count > 0
                     ? context_->inputs.narrow(0, rows.first_sample + rows.begin, rows.count)
                     : at::Tensor());
  }
  ChainEnds ends = worker.chain.forward(rows, std::move(xs), training);
  if (rows.count > 0) finish(worker, rows, ends.losses);
  if (borders.outputs.empty()) return nullptr;
  return to_payload(rows.begin, std::move(ends.outputs));
}

/// Of what the stage makes for the loss: that, or the outputs that were asked for.
void TorchStage::finish(Worker& worker, const WorkerRows& rows,
                        const std::vector<at::Tensor>& outputs) {
  for (std::size_t i = 0; i < losses_.size(); ++i) {
    if (!losses_[i].main && context_->pass != Pass::training) continue;
    if (context_->pass == Pass::prediction) {
      context_->outputs.narrow(0, rows.first_sample + rows.begin, rows.count).copy_(outputs[i]);
    } else {
      worker.losses[static_cast<std::size_t>(rows.micro_batch)][i] =
          weighted_loss(losses_[i], rows, outputs[i]);
    }
  }
}

RowsLoss TorchStage::weighted_loss(const StageLoss& loss, const WorkerRows& rows,
                                   const at::Tensor& outputs) const {
  RowsLoss result = loss_of(
      loss_, outputs, context_->targets.narrow(0, rows.first_sample + rows.begin, rows.count),
      loss.weight / static_cast<double>(context_->samples), context_->pass == Pass::training);
  result.sum *= loss.weight;
  if (!loss.main) result.correct = 0;
  return result;
}

Payload TorchStage::backward(int index, int micro_batch, const std::vector<Payload>& gradients) {
  return backward(index, micro_batch, gradients, WeightGradients::now);
}

Payload TorchStage::input_gradient(int index, int micro_batch,
                                   const std::vector<Payload>& gradients) {
  return backward(index, micro_batch, gradients, WeightGradients::later);
}

void TorchStage::weight_gradient(int index, int micro_batch) {
  workers_[at_index(index)].chain.weight_gradients(micro_batch);
}

Payload TorchStage::backward(int index, int micro_batch, const std::vector<Payload>& gradients,
                             WeightGradients weights) {
  Worker& worker = workers_[at_index(index)];
  const WorkerRows rows = rows_of_worker(index, micro_batch);
  const std::vector<bool>& wanted = worker.chain.borders().output_gradients;
  ChainEnds dys{gather(gradients, wanted.size(), rows, &wanted), {}};
  for (RowsLoss& loss : worker.losses[at_index(micro_batch)])
    dys.losses.push_back(std::exchange(loss.gradient, {}));
  return to_payload(rows.begin, worker.chain.backward(rows, std::move(dys), weights));
}

void TorchStage::reduce(int index) {
  team_->barrier.arrive_and_wait();
  if (measure_norm_) workers_[at_index(index)].squared_norm = parameters_.squared_norm(index);
}

void TorchStage::update(int index) {
  Worker& worker = workers_[at_index(index)];
  // New state takes its memory now: what the first step's passes left free makes room for it.
  if (!std::exchange(worker.has_updated, true) && parameters_.begins_state()) trim_allocator();
  parameters_.update(index, *context_);
  worker.chain.end_step();
}

void TorchStage::cancel() { team_->barrier.cancel(); }

void TorchStage::reset() {
  team_->barrier.reset();
  team_->buffers.clear();
}

double TorchStage::loss_sum() const {
  double sum = 0;
  for (const Worker& worker : workers_)
    for (const std::vector<RowsLoss>& losses : worker.losses)
      for (const RowsLoss& loss : losses) sum += loss.sum;
  return sum;
}

std::int64_t TorchStage::correct() const {
  std::int64_t correct = 0;
  for (const Worker& worker : workers_)
    for (const std::vector<RowsLoss>& losses : worker.losses)
      for (const RowsLoss& loss : losses) correct += loss.correct;
  return correct;
}

double TorchStage::squared_norm() const {
  double sum = 0;
  for (const Worker& worker : workers_) sum += worker.squared_norm;
  return sum;
}

WorkerRows TorchStage::rows_of_worker(int worker, int micro_batch) const {
  return rows_of(plan_.shares, worker, context_->micro_batch, micro_batch, context_->samples);
}

}  // namespace millrace
