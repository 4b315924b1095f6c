#pragma once
// The channels between the workers of neighbouring stages, sized for one schedule.

#include <memory>
#include <vector>

#include "framework/execute/channel.hpp"
#include "millrace/schedule.hpp"

namespace millrace {

/// Most micro-batches that stage `from` can have sent to its neighbour `to` (from +- 1) and that
/// `to` need not have received, over every timing that the schedule allows; at least 1. Forward
/// passes go to from + 1, backward passes to from - 1. A channel of this capacity never blocks.
///
///   1F1B, P = 2:  stage 0  F0 F1 | B0 F2   B0 was received, so stage 1 has done F0 B0; with F2
///                 stage 1     F0 B0 F1     sent, F1 and F2 may wait: capacity 2
int channel_capacity(const Schedule& schedule, int from, int to);

/// Who hands what to whom. send and receive are thread-safe; cancel as Channel's.
class Wiring {
 public:
  /// workers[s]: workers of stage s. REQUIRES a valid schedule of as many stages.
  Wiring(const Schedule& schedule, const std::vector<int>& workers);

  /// What worker `worker` of `stage` needs for `kind` of the micro-batch, one part per worker of
  /// the stage before (forward) or after (backward); empty at the ends of the pipeline.
  std::vector<Payload> receive(int stage, int worker, ActionKind kind, int micro_batch);
  /// Hands the result to every worker of the stage after (forward) or before (backward).
  void send(int stage, int worker, ActionKind kind, int micro_batch, const Payload& payload);

  void cancel();
  void reset();

 private:
  using Inboxes = std::vector<std::unique_ptr<Channel>>;  ///< one per worker of a stage

  Inboxes* inboxes(int stage, ActionKind kind);

  std::vector<Inboxes> forward_;   ///< [stage]: from the stage before; empty for the first
  std::vector<Inboxes> backward_;  ///< [stage]: from the stage after; empty for the last
};

}  // namespace millrace
