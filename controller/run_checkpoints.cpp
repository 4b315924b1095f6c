#include "controller/run_checkpoints.hpp"

#include <utility>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {

void RunCheckpoints::settle() {
  try {
    finish();
  } catch (const Error& error) {
    log_warning("checkpoint", error.what());
  }
}

/// A new checkpoint is written beside an old one.
void RunCheckpoints::prepare(const RunFolder& run, std::int64_t bytes) const {
  folder_.prepare();
  run.require_free((folder_.steps().empty() ? 2 : 1) * bytes);
}

bool RunCheckpoints::holds(std::int64_t step, bool evaluated) const {
  return step_ == step && evaluated_ == evaluated;
}

void RunCheckpoints::note(const CheckpointInfo& info) {
  step_ = info.step;
  evaluated_ = info.accuracy.has_value();
}

void RunCheckpoints::save(const CheckpointInfo& info, const std::vector<SessionTensor>& state) {
  finish();
  std::unique_ptr<AtomicFile> file = folder_.copy(info, state);
  note(info);
  flushed_ = false;
  flushing_ = std::thread([this, file = std::move(file)] {
    try {
      folder_.complete(*file);
    } catch (...) {
      failure_ = std::current_exception();
    }
    flushed_ = true;
  });
}

std::vector<std::int64_t> RunCheckpoints::take_completed() {
  if (flushed_) finish();
  return std::exchange(completed_, {});
}

void RunCheckpoints::finish() {
  if (!flushing_.joinable()) return;
  flushing_.join();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  completed_.push_back(*step_);
}

}  // namespace millrace
