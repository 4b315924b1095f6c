#include "controller/run_checkpoints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "train";

}  // namespace

void RunCheckpoints::settle() {
  try {
    finish();
  } catch (const std::exception& error) {
    log_warning(kTag, fmt::format("no checkpoint of step {}: {}", step_.value_or(0), error.what()));
  }
}

void RunCheckpoints::prepare(const RunFolder& run, std::int64_t bytes) const {
  folder_.prepare();
  const auto there = static_cast<std::int64_t>(folder_.steps().size());
  run.require_free(std::max<std::int64_t>(1, folder_.most() - there) * bytes);
}

std::optional<CheckpointInfo> RunCheckpoints::restore(TrainingSession& session,
                                                      const TrainingFacts& facts,
                                                      std::optional<std::int64_t> last_step,
                                                      const RunFolder& run) {
  const auto checkpoint = folder_.open_last();
  if (!checkpoint) {
    log_warning(kTag, fmt::format("{} holds no whole checkpoint: the training starts again",
                                  run.path().string()));
    folder_.set_aside_after(-1);
    return std::nullopt;
  }
  const CheckpointInfo& info = checkpoint->info;
  if (last_step && info.step > *last_step) {
    throw ConfigError(kTag, fmt::format("the checkpoint is at step {}, the run ends at step {}: "
                                        "give a later end (--steps, --epochs, --time), or "
                                        "raise it in {}",
                                        info.step, *last_step, run.config().string()));
  }
  restore_checkpoint(*checkpoint, facts, session.state());
  folder_.set_aside_after(info.step);
  session.seek(info.step);
  note(info);
  return info;
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
  begun_ns_ = now_ns_();
  written_ = false;
  std::promise<void> copied;
  copied_ = copied.get_future().share();
  try {
    writing_ = std::thread(
        [this, info, state, copied = std::move(copied)]() mutable { write(info, state, copied); });
  } catch (const std::system_error& refused) {
    copied_ = {};
    throw ResourceError("checkpoint", std::string("a thread for the disk is refused: ") +
                                          refused.what() + ": raise the limit of threads");
  }
  note(info);
}

void RunCheckpoints::write(const CheckpointInfo& info, const std::vector<SessionTensor>& state,
                           std::promise<void>& copied) {
  std::unique_ptr<AtomicFile> file;
  const auto attempt = [this](const auto& part) {
    try {
      part();
    } catch (...) {
      failure_ = std::current_exception();
    }
  };
  attempt([&] { file = folder_.copy(info, state); });
  copied.set_value();
  if (file) attempt([&] { folder_.complete(*file); });
  ended_ns_ = now_ns_();
  written_ = true;
}

void RunCheckpoints::wait_copied() {
  const std::shared_future<void> copied = copied_;
  if (!copied.valid() || copied.wait_for(std::chrono::seconds(0)) == std::future_status::ready)
    return;
  const std::int64_t before_ns = now_ns_();
  copied.wait();
  const std::int64_t waited_ns = now_ns_() - before_ns;
  std::int64_t longest_ns = waited_ns_;
  while (waited_ns > longest_ns && !waited_ns_.compare_exchange_weak(longest_ns, waited_ns)) {
  }
}

std::vector<RunCheckpoints::Completed> RunCheckpoints::take_completed() {
  if (written_) finish();
  return std::exchange(completed_, {});
}

void RunCheckpoints::finish() {
  if (!writing_.joinable()) return;
  writing_.join();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  completed_.push_back({*step_, ended_ns_ - begun_ns_});
}

}  // namespace millrace
