#pragma once
// A stage without tensors: it notes every call, and tests hook into the calls.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "framework/execute/executor.hpp"

namespace millrace {

/// What a fake stage hands on: who made it.
struct FakePart {
  int stage = 0;
  int worker = 0;
  ActionKind kind = ActionKind::forward;
  int micro_batch = 0;
  bool operator==(const FakePart&) const = default;
};

struct FakeCall {
  int worker = 0;
  std::string what;  ///< "enter", "F0", "B2", "W2", "R", "U"
  std::vector<FakePart> inputs;
  bool input_gradient = false;  ///< B by input_gradient()
};

/// Thread-safe where StageRunner asks for it.
class FakeStage : public StageRunner {
 public:
  FakeStage(int stage, int workers) : stage_(stage), workers_(workers) {}

  /// Runs inside every call, before it is noted; may throw.
  std::function<void(FakeStage&, const FakeCall&)> hook;

  int workers() const override { return workers_; }
  void enter(int worker) override { note({worker, "enter", {}}); }
  Payload forward(int worker, int micro_batch, const std::vector<Payload>& inputs) override {
    return pass(worker, ActionKind::forward, micro_batch, inputs);
  }
  Payload backward(int worker, int micro_batch, const std::vector<Payload>& gradients) override {
    return pass(worker, ActionKind::backward, micro_batch, gradients);
  }
  Payload input_gradient(int worker, int micro_batch,
                         const std::vector<Payload>& gradients) override {
    return pass(worker, ActionKind::backward, micro_batch, gradients, true);
  }
  void weight_gradient(int worker, int micro_batch) override;
  void reduce(int worker) override { note({worker, "R", {}}); }
  void update(int worker) override { note({worker, "U", {}}); }
  void cancel() override;
  void reset() override;

  /// Waits, as a call that needs another worker does, until cancel(); then throws Cancelled.
  [[noreturn]] void wait_until_cancelled();
  /// Waits until `count` calls wait in wait_until_cancelled().
  void wait_for_waiting(int count);

  int stage() const { return stage_; }
  std::vector<FakeCall> calls_of(int worker) const;
  std::vector<std::string> names_of(int worker) const;
  void forget_calls();
  int cancels() const;
  int resets() const;

 private:
  Payload pass(int worker, ActionKind kind, int micro_batch, const std::vector<Payload>& inputs,
               bool input_gradient = false);
  void note(FakeCall call);

  const int stage_;
  const int workers_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<FakeCall> calls_;  // guarded by mutex_
  bool cancelled_ = false;       // guarded by mutex_
  int waiting_ = 0;              // guarded by mutex_
  int cancels_ = 0;              // guarded by mutex_
  int resets_ = 0;               // guarded by mutex_
};

/// Stages with `workers[s]` workers each, and an executor of unbound threads over them.
struct FakePipeline {
  explicit FakePipeline(const std::vector<int>& workers);

  FakeStage& stage(int index) { return *stages.at(static_cast<std::size_t>(index)); }
  std::vector<StageRunner*> runners() const;
  std::vector<std::vector<WorkerPlace>> places() const;
  Executor make_executor() const { return Executor(runners(), places()); }
  void hook_all(const std::function<void(FakeStage&, const FakeCall&)>& hook);

  std::vector<std::unique_ptr<FakeStage>> stages;
};

/// "F0" of an action: FakeCall::what.
std::string name_of(const Action& action);

}  // namespace millrace
