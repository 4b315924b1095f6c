#include "controller/training_run.hpp"

#include <fmt/format.h>

#include "controller/taken_plans.hpp"
#include "controller/training_loop.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "train";

/// The plan that was in force at `step`, where the run has taken others since.
void take_plan_of(TrainingSession& session, const RunFolder& folder, std::int64_t step) {
  const TakenPlans taken(folder.plans());
  const std::vector<std::int64_t> steps = taken.steps();
  if (steps.empty() || steps.back() <= step) return;
  const auto files =
      taken.in_force(step).value_or(TakenPlans::Files{folder.plan(), folder.costs()});
  const auto [plan, costs] = TakenPlans::read(files);
  session.take_plan(plan, costs);
}

/// How the run goes on from its newest checkpoint, after a step that was lost. Passes on what it
/// was lost for where there is none, or the run has gone back to it before.
TrainingSettings from_checkpoint(TrainingSession& session, const RunFolder& folder,
                                 TrainingSettings settings, const TrainingLoop& loop,
                                 RunWatch& watch, const std::exception_ptr& cause) {
  const auto checkpoint = CheckpointFolder(folder.checkpoints()).open_last();
  if (!checkpoint || watch.gone_back_to == checkpoint->info.step) std::rethrow_exception(cause);
  watch.gone_back_to = checkpoint->info.step;
  watch.used_joules = loop.used_joules();
  take_plan_of(session, folder, checkpoint->info.step);
  settings.end.deadline_ns = loop.deadline_behind(checkpoint->info);
  settings.resume = true;
  settings.rehearsal.reset();  // of the plan that the run began with
  return settings;
}

/// Absent where the run goes on by `settings`, which it then changes.
std::optional<TrainingResult> train(TrainingSession& session, const RunFolder& folder,
                                    TrainingSettings& settings, TrainingObserver& observer,
                                    RunWatch& watch) {
  TrainingLoop loop(session, folder, settings, observer, watch);
  try {
    try {
      return loop.run();
    } catch (const LostStep& lost) {
      loop.settle();
      settings = from_checkpoint(session, folder, settings, loop, watch, lost.cause);
      return std::nullopt;
    }
  } catch (...) {
    log_warning(kTag, loop.give_up());
    throw;
  }
}

}  // namespace

TrainingResult run_training(TrainingSession& session, const RunFolder& folder,
                            const TrainingSettings& settings, TrainingObserver& observer) {
  MILLRACE_CHECK(settings.metrics_every_steps >= 1, kTag, "metrics are written at some steps");
  RunWatch watch;
  TrainingSettings now = settings;
  while (true)
    if (auto result = train(session, folder, now, observer, watch)) return *std::move(result);
}

}  // namespace millrace
