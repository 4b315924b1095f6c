#include "tests/framework/execute/fake_stage.hpp"

#include <utility>

namespace millrace {

std::string name_of(const Action& action) {
  const std::string letter(1, static_cast<char>(action.kind));
  return has_micro_batch(action.kind) ? letter + std::to_string(action.micro_batch) : letter;
}

Payload FakeStage::pass(int worker, ActionKind kind, int micro_batch,
                        const std::vector<Payload>& inputs, bool input_gradient) {
  FakeCall call{worker, name_of({stage_, kind, micro_batch}), {}, input_gradient};
  for (const Payload& input : inputs) call.inputs.push_back(*static_cast<FakePart*>(input.get()));
  note(std::move(call));
  return std::make_shared<FakePart>(FakePart{stage_, worker, kind, micro_batch});
}

void FakeStage::weight_gradient(int worker, int micro_batch) {
  note({worker, name_of({stage_, ActionKind::weight, micro_batch}), {}});
}

void FakeStage::note(FakeCall call) {
  if (hook) hook(*this, call);
  const std::lock_guard lock(mutex_);
  calls_.push_back(std::move(call));
}

void FakeStage::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  ++cancels_;
  changed_.notify_all();
}

void FakeStage::reset() {
  const std::lock_guard lock(mutex_);
  cancelled_ = false;
  waiting_ = 0;
  ++resets_;
}

void FakeStage::wait_until_cancelled() {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return cancelled_; });
  throw Cancelled{};
}

void FakeStage::wait_for_waiting(int count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_ >= count; });
}

std::vector<FakeCall> FakeStage::calls_of(int worker) const {
  const std::lock_guard lock(mutex_);
  std::vector<FakeCall> result;
  for (const FakeCall& call : calls_) {
    if (call.worker == worker) result.push_back(call);
  }
  return result;
}

std::vector<std::string> FakeStage::names_of(int worker) const {
  std::vector<std::string> result;
  for (const FakeCall& call : calls_of(worker)) result.push_back(call.what);
  return result;
}

void FakeStage::forget_calls() {
  const std::lock_guard lock(mutex_);
  calls_.clear();
}

int FakeStage::cancels() const {
  const std::lock_guard lock(mutex_);
  return cancels_;
}

int FakeStage::resets() const {
  const std::lock_guard lock(mutex_);
  return resets_;
}

FakePipeline::FakePipeline(const std::vector<int>& workers) {
  for (const int count : workers) {
    stages.push_back(std::make_unique<FakeStage>(static_cast<int>(stages.size()), count));
  }
}

std::vector<StageRunner*> FakePipeline::runners() const {
  std::vector<StageRunner*> result;
  for (const auto& stage : stages) result.push_back(stage.get());
  return result;
}

std::vector<std::vector<WorkerPlace>> FakePipeline::places() const {
  std::vector<std::vector<WorkerPlace>> result;
  for (const auto& stage : stages) {
    result.emplace_back(static_cast<std::size_t>(stage->workers()));
  }
  return result;
}

void FakePipeline::hook_all(const std::function<void(FakeStage&, const FakeCall&)>& hook) {
  for (auto& stage : stages) stage->hook = hook;
}

}  // namespace millrace
