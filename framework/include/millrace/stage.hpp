#pragma once
// What the executor drives: one stage of a prepared step, tensors hidden.

#include <cstdint>
#include <memory>
#include <vector>

namespace millrace {

/// A part of a micro-batch's activations or gradients on its way between two stages: a pointer,
/// never a copy. Its type is the stages' own business. Null is legal (fakes; evaluation).
using Payload = std::shared_ptr<void>;

/// One stage. Every worker calls from its own pinned thread, which calls enter() first and only
/// once. Workers of one stage run the same actions in the same order and may wait for each other
/// inside a call. Any call may throw; the executor then calls cancel() on every stage.
class StageRunner {
 public:
  virtual ~StageRunner() = default;

  virtual int workers() const = 0;

  /// Prepares the calling thread (library thread counts, allocator). Called after pinning.
  virtual void enter(int worker) = 0;

  /// Forward of this worker's part of micro-batch m. `inputs` holds one payload per worker of the
  /// previous stage (empty on the first). Returns what the next stage gets (ignored on the last).
  virtual Payload forward(int worker, int micro_batch, const std::vector<Payload>& inputs) = 0;

  /// Backward of the same. `gradients` holds one payload per worker of the next stage (empty on the
  /// last). Returns what the previous stage gets (ignored on the first).
  virtual Payload backward(int worker, int micro_batch, const std::vector<Payload>& gradients) = 0;

  /// The first part of backward() in a schedule that runs the two apart: returns what backward()
  /// does, and leaves the weights' gradients of the micro-batch to weight_gradient().
  virtual Payload input_gradient(int worker, int micro_batch,
                                 const std::vector<Payload>& gradients) = 0;

  /// What input_gradient() of the same micro-batch left.
  virtual void weight_gradient(int worker, int micro_batch) = 0;

  /// Sums the replicas' gradients of the step; this worker does its part.
  virtual void reduce(int worker) = 0;

  /// Applies the optimizer; this worker does its part.
  virtual void update(int worker) = 0;

  /// What the calling thread has waited for other workers of its stage in these calls, in all.
  virtual std::int64_t waited_ns() const { return 0; }

  /// Makes every call that waits for another worker throw Cancelled, now and until the next step
  /// begins. Thread-safe.
  virtual void cancel() = 0;

  /// Forgets a cancelled step: no call is running; the next action is the first of a step.
  virtual void reset() = 0;
};

/// Thrown out of a StageRunner's call that was waiting when cancel() came. Never reaches a caller
/// of the executor.
struct Cancelled {};

}  // namespace millrace
