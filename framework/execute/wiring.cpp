#include "framework/execute/wiring.hpp"

#include <algorithm>
#include <cstddef>

namespace millrace {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

ActionKind opposite(ActionKind kind) {
  return kind == ActionKind::forward ? ActionKind::backward : ActionKind::forward;
}

/// How many passes of `kind` come on the stage before the pass `other` of the micro-batch.
int passes_before(const Schedule& schedule, int stage, ActionKind kind, ActionKind other,
                  int micro_batch) {
  int count = 0;
  for (const Action& action : schedule.lane_of(stage)) {
    if (action.stage != stage) continue;
    if (action.kind == other && action.micro_batch == micro_batch) break;
    if (action.kind == kind) ++count;
  }
  return count;
}

}  // namespace

int channel_capacity(const Schedule& schedule, int from, int to) {
  const ActionKind sent_kind = from < to ? ActionKind::forward : ActionKind::backward;
  const ActionKind answer = opposite(sent_kind);
  int sent = 0, surely_received = 0, most = 1;
  for (const Action& action : schedule.lane_of(from)) {
    if (action.stage != from) continue;
    if (action.kind == sent_kind) {
      most = std::max(most, ++sent - surely_received);
    } else if (action.kind == answer) {
      // An answer of `to` was needed here: whatever `to` does before it, it has done.
      surely_received = std::max(
          surely_received, passes_before(schedule, to, sent_kind, answer, action.micro_batch));
    }
  }
  return most;
}

Wiring::Wiring(const Schedule& schedule, const std::vector<int>& workers)
    : forward_(workers.size()), backward_(workers.size()) {
  const auto connect = [&](int from, int to) {
    Inboxes& inboxes = from < to ? forward_[at(to)] : backward_[at(to)];
    for (int worker = 0; worker < workers[at(to)]; ++worker) {
      inboxes.push_back(
          std::make_unique<Channel>(workers[at(from)], channel_capacity(schedule, from, to)));
    }
  };
  for (int stage = 1; stage < schedule.stages(); ++stage) {
    connect(stage - 1, stage);
    connect(stage, stage - 1);
  }
}

Wiring::Inboxes* Wiring::inboxes(int stage, ActionKind kind) {
  if (stage < 0 || at(stage) >= forward_.size()) return nullptr;
  return kind == ActionKind::forward ? &forward_[at(stage)] : &backward_[at(stage)];
}

std::vector<Payload> Wiring::receive(int stage, int worker, ActionKind kind, int micro_batch) {
  Inboxes& own = *inboxes(stage, kind);
  return own.empty() ? std::vector<Payload>{} : own[at(worker)]->receive(micro_batch);
}

void Wiring::send(int stage, int worker, ActionKind kind, int micro_batch, const Payload& payload) {
  Inboxes* others = inboxes(kind == ActionKind::forward ? stage + 1 : stage - 1, kind);
  if (others == nullptr) return;
  for (auto& inbox : *others) inbox->send(micro_batch, worker, payload);
}

void Wiring::cancel() {
  for (auto* side : {&forward_, &backward_}) {
    for (auto& inboxes : *side) {
      for (auto& inbox : inboxes) inbox->cancel();
    }
  }
}

void Wiring::reset() {
  for (auto* side : {&forward_, &backward_}) {
    for (auto& inboxes : *side) {
      for (auto& inbox : inboxes) inbox->reset();
    }
  }
}

}  // namespace millrace
