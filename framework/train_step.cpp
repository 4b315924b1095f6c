#include "millrace/train_step.hpp"

#include "framework/execute/executor.hpp"
#include "framework/kept_buffers.hpp"
#include "framework/layers/caching_allocator.hpp"
#include "framework/plan_offer.hpp"
#include "framework/planning.hpp"
#include "framework/profile/probe.hpp"
#include "framework/stages/build_stages.hpp"

namespace millrace {

// The spine: the steps of the flow, in order. Members are made in the order in which they stand.
struct TrainStep::Parts {
  Parts(const Model& trained, const TrainSettings& asked, MeasuredProfile costs, Plan chosen,
        const OptimizerState& kept)
      : model(trained),
        settings(asked),
        facts(check_model(model)),
        measured(std::move(costs)),
        plan(std::move(chosen)),
        schedules(plan),
        stages(build_stages(model, facts, plan, settings.optimizer, settings.learning_rate,
                            settings.seed, kept)),
        executor(stages.runners(), lanes_of(plan), worker_places(plan)) {}

  /// Runs what the stages were begun with.
  StepReport run(const Schedule& schedule) {
    StepReport report = executor.run(
        schedule, {stages.clips_gradients(), [this] { stages.clip_gradients(); }, hold});
    const StepResults results = stages.results();
    report.samples = results.samples;
    report.loss = results.loss;
    report.answers = results.answers;
    report.correct = results.correct;
    report.gradient_norm = results.gradient_norm;
    report.step = next_step;
    return report;
  }

  StepReport run_training(std::int64_t samples) {
    const AllocationRound round;
    return run(schedules.training(samples));
  }

  /// The memory that is free now, and what this training holds.
  std::optional<MeasuredProfile> kept_costs_with_own_memory() const {
    auto kept = kept_costs(model, settings);
    if (kept && kept->profile.shared_memory_bytes)
      *kept->profile.shared_memory_bytes +=
          static_cast<double>(plan.memory_bytes) + settings.reserved_bytes;
    return kept;
  }

  const Model model;
  const TrainSettings settings;
  std::vector<LayerFacts> facts;
  MeasuredProfile measured;
  Plan plan;
  ScheduleShelf schedules;
  StageSet stages;
  Executor executor;
  std::int64_t next_step = 0;
  std::function<void()> hold;  // of updates
  bool whole = true;           // no step ended amid its update
  std::optional<KeptBuffers> before_rehearsal;
  std::optional<MeasuredProfile> base;  // of offers; absent: not looked for yet, or not known
};

TrainStep TrainStep::prepare(const Model& model, const TrainSettings& settings) {
  MeasuredProfile measured = chosen_profile(model, settings);
  Plan plan = chosen_plan(measured, settings);
  return TrainStep(std::make_unique<Parts>(model, settings, std::move(measured), std::move(plan),
                                           OptimizerState()));
}

StepReport TrainStep::step(const Batch& batch) {
  parts_->stages.begin_training(batch.inputs, batch.targets, parts_->next_step);
  try {
    const StepReport report = parts_->run_training(batch.inputs.size(0));
    ++parts_->next_step;
    return report;
  } catch (...) {
    if (parts_->executor.update_begun()) parts_->whole = false;
    throw;
  }
}

StepReport TrainStep::rehearse(const Batch& batch) {
  if (!parts_->before_rehearsal) parts_->before_rehearsal.emplace(parts_->model);
  parts_->stages.begin_training(batch.inputs, batch.targets, parts_->next_step, /*learns=*/false);
  return parts_->run_training(batch.inputs.size(0));
}

void TrainStep::end_rehearsal() {
  parts_->before_rehearsal.reset();
  parts_->stages.forget_steps();
}

StepReport TrainStep::evaluate(const Batch& batch) {
  parts_->stages.begin_evaluation(batch.inputs, batch.targets);
  return parts_->run(parts_->schedules.forward_only(batch.inputs.size(0)));
}

torch::Tensor TrainStep::predict(const torch::Tensor& inputs) {
  parts_->stages.begin_prediction(inputs);
  parts_->run(parts_->schedules.forward_only(inputs.size(0)));
  return parts_->stages.outputs();
}

std::optional<PlanOffer> TrainStep::offer_plan(std::optional<std::int64_t> memory_bytes) {
  TrainSettings settings = parts_->settings;
  std::optional<MeasuredProfile>& base = parts_->base;
  if (!base && !parts_->measured.rates.empty()) base = parts_->measured;
  if (!base) base = parts_->kept_costs_with_own_memory();
  if (!base) return std::nullopt;
  Topology there = discover_topology(settings.machine);
  if (settings.cores == "all") there = select_cores(std::move(there), "all");
  const std::vector<int> cpus = present_cpus(*base, there, settings.cores);
  if (memory_bytes) limit_memory(settings, *memory_bytes);
  return millrace::offer_plan(*base, settings, present_rates(cpus));
}

void TrainStep::take_plan(const Plan& plan, const Profile& costs) {
  TrainSettings given = parts_->settings;
  given.given_plan = plan;
  given.given_costs = costs;
  // Nobody asks for free memory: this training's own is the next plan's.
  const Topology machine = discover_topology(given.machine);
  const MeasuredProfile measured{costs, machine, true, "", {}};
  const Plan checked = chosen_plan(measured, given);
  const Model model = parts_->model;
  const TrainSettings settings = parts_->settings;
  const MeasuredProfile costs_before = parts_->measured;
  const Plan plan_before = parts_->plan;
  const std::int64_t next_step = parts_->next_step;
  const std::function<void()> hold = parts_->hold;
  const bool whole = parts_->whole;
  const std::optional<MeasuredProfile> base = parts_->base;
  if (hold) hold();
  const OptimizerState kept = parts_->stages.optimizer_state();
  parts_.reset();  // its workers' memory is the next ones'
  trim_allocator();
  const auto make = [&](const MeasuredProfile& by, const Plan& made) {
    parts_ = std::make_unique<Parts>(model, settings, by, made, kept);
    parts_->next_step = next_step;
    parts_->hold = hold;
    parts_->whole = whole;
    parts_->base = base;
  };
  try {
    make(measured, checked);
  } catch (...) {
    make(costs_before, plan_before);
    throw;
  }
}

TrainStep::TrainStep(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TrainStep::TrainStep(TrainStep&&) noexcept = default;
TrainStep& TrainStep::operator=(TrainStep&&) noexcept = default;
TrainStep::~TrainStep() = default;

const Topology& TrainStep::topology() const { return parts_->measured.topology; }
const Profile& TrainStep::profile() const { return parts_->measured.profile; }
bool TrainStep::costs_are_doubted() const { return parts_->measured.doubted; }
const Plan& TrainStep::plan() const { return parts_->plan; }
const Schedule& TrainStep::schedule() const { return parts_->schedules.full(); }
std::int64_t TrainStep::next_step() const { return parts_->next_step; }
void TrainStep::set_next_step(std::int64_t step) {
  parts_->next_step = step;
  parts_->whole = true;
}
void TrainStep::hold_updates(std::function<void()> until) {
  if (parts_) parts_->hold = std::move(until);
}
bool TrainStep::state_is_whole() const { return parts_ && parts_->whole; }
std::vector<StateTensor> TrainStep::state() { return parts_->stages.state(); }

}  // namespace millrace
