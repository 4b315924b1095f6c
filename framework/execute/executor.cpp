#include "framework/execute/executor.hpp"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <utility>

#include "framework/affinity/affinity.hpp"
#include "framework/execute/crew.hpp"
#include "framework/execute/gate.hpp"
#include "framework/execute/wiring.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t at(int index) { return static_cast<std::size_t>(index); }

struct Worker {
  int stage = 0;
  int index = 0;  ///< within the stage
  WorkerPlace place;
  std::vector<TaskSpan> tasks;  ///< of the step that runs; written by the worker's thread
};

std::vector<Worker> workers_of(const std::vector<StageRunner*>& stages,
                               const std::vector<std::vector<WorkerPlace>>& places) {
  MILLRACE_CHECK(stages.size() == places.size(), "execute", "places are needed for every stage");
  std::vector<Worker> workers;
  for (int stage = 0; at(stage) < stages.size(); ++stage) {
    const int count = stages[at(stage)]->workers();
    MILLRACE_CHECK(count > 0 && at(count) == places[at(stage)].size(), "execute",
                   fmt::format("stage {} has {} workers and {} places", stage, count,
                               places[at(stage)].size()));
    for (int index = 0; index < count; ++index) {
      workers.push_back({stage, index, places[at(stage)][at(index)], {}});
    }
  }
  return workers;
}

std::vector<std::string> names_of(const std::vector<Worker>& workers) {
  std::vector<std::string> names;
  for (const Worker& worker : workers) {
    names.push_back(fmt::format("stage{}-{}", worker.stage, worker.index));
  }
  return names;
}

}  // namespace

// One step: every member of the crew walks through its stage's actions; what it needs comes out of
// its channels, so the order over the stages follows from the schedule alone.
struct Executor::Impl {
  Impl(std::vector<StageRunner*> runners, const std::vector<std::vector<WorkerPlace>>& places)
      : stages(std::move(runners)), workers(workers_of(stages, places)), crew(names_of(workers)) {
    run_crew([this](Worker& worker) {
      if (!worker.place.cpus.empty()) bind_this_thread(worker.place.cpus);
      set_team_width(worker.place.threads);
      stages[at(worker.stage)]->enter(worker.index);
    });
  }

  StepReport run(const Schedule& wanted, const Options& chosen);

  void prepare(const Schedule& wanted);
  void run_crew(const std::function<void(Worker&)>& job);
  void run_actions(Worker& worker);
  void run_action(Worker& worker, const Action& action);
  void run_pass(Worker& worker, const Action& action);
  Payload pass(const Worker& worker, const Action& action, const std::vector<Payload>& inputs);
  template <typename Task>
  void measure(Worker& worker, const Action& action, const Task& task);
  void fail(std::exception_ptr exception);
  void rethrow_failure();
  std::int64_t now_ns() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
  }

  const Clock::time_point start = Clock::now();
  const std::vector<StageRunner*> stages;
  std::vector<Worker> workers;
  Schedule schedule;  ///< what `wiring` was made for
  bool splits_backward = false;
  std::unique_ptr<Wiring> wiring;
  Gate gate;
  Options options;
  std::atomic<bool> failed = false;
  std::exception_ptr failure;  ///< written once, by the worker that set `failed`
  Crew crew;                   ///< last: its threads use all of the above
};

StepReport Executor::Impl::run(const Schedule& wanted, const Options& chosen) {
  prepare(wanted);
  options = chosen;
  gate.reset(static_cast<int>(workers.size()));  // a valid schedule updates every stage, or none
  StepReport report;
  report.begin_ns = now_ns();
  run_crew([this](Worker& worker) { run_actions(worker); });
  report.end_ns = now_ns();
  for (const Worker& worker : workers) {
    report.tasks.insert(report.tasks.end(), worker.tasks.begin(), worker.tasks.end());
  }
  return report;
}

void Executor::Impl::prepare(const Schedule& wanted) {
  if (wiring != nullptr && wanted == schedule) return;
  MILLRACE_CHECK(
      at(wanted.stages()) == stages.size(), "execute",
      fmt::format("the schedule has {} stages, the executor {}", wanted.stages(), stages.size()));
  validate(wanted);
  std::vector<int> widths;
  for (const StageRunner* stage : stages) widths.push_back(stage->workers());
  wiring = std::make_unique<Wiring>(wanted, widths);
  schedule = wanted;
  splits_backward = schedule.splits_backward();
}

void Executor::Impl::run_crew(const std::function<void(Worker&)>& job) {
  crew.run([&](int member) {
    try {
      job(workers[at(member)]);
    } catch (const Cancelled&) {
      fail(std::make_exception_ptr(
          InternalError("execute", "a stage threw Cancelled before anything was cancelled")));
    } catch (...) {
      fail(std::current_exception());
    }
  });
  if (failed) rethrow_failure();
}

void Executor::Impl::run_actions(Worker& worker) {
  worker.tasks.clear();
  for (const Action& action : schedule.actions[at(worker.stage)]) {
    if (failed) return;
    run_action(worker, action);
  }
}

void Executor::Impl::run_action(Worker& worker, const Action& action) {
  StageRunner& stage = *stages[at(worker.stage)];
  switch (action.kind) {
    case ActionKind::forward:
    case ActionKind::backward:
      return run_pass(worker, action);
    case ActionKind::weight:
      return measure(worker, action,
                     [&] { stage.weight_gradient(worker.index, action.micro_batch); });
    case ActionKind::reduce:
      return measure(worker, action, [&] { stage.reduce(worker.index); });
    case ActionKind::update:
      if (options.update_after_all_reduced) gate.arrive_and_wait(options.between);
      return measure(worker, action, [&] { stage.update(worker.index); });
  }
}

Payload Executor::Impl::pass(const Worker& worker, const Action& action,
                             const std::vector<Payload>& inputs) {
  StageRunner& stage = *stages[at(worker.stage)];
  if (action.kind == ActionKind::forward)
    return stage.forward(worker.index, action.micro_batch, inputs);
  if (splits_backward) return stage.input_gradient(worker.index, action.micro_batch, inputs);
  return stage.backward(worker.index, action.micro_batch, inputs);
}

void Executor::Impl::run_pass(Worker& worker, const Action& action) {
  Payload result;
  {
    // The inputs are let go before the result is sent: the memory may be the next pass's.
    const auto inputs =
        wiring->receive(worker.stage, worker.index, action.kind, action.micro_batch);
    measure(worker, action, [&] { result = pass(worker, action, inputs); });
  }
  wiring->send(worker.stage, worker.index, action.kind, action.micro_batch, result);
}

template <typename Task>
void Executor::Impl::measure(Worker& worker, const Action& action, const Task& task) {
  const std::int64_t begin_ns = now_ns();
  task();
  worker.tasks.push_back({action, worker.index, begin_ns, now_ns()});
}

void Executor::Impl::fail(std::exception_ptr exception) {
  if (failed.exchange(true)) return;
  failure = std::move(exception);
  if (wiring != nullptr) wiring->cancel();
  gate.cancel();
  for (StageRunner* stage : stages) stage->cancel();
}

void Executor::Impl::rethrow_failure() {
  if (wiring != nullptr) wiring->reset();
  for (StageRunner* stage : stages) stage->reset();
  failed = false;
  std::rethrow_exception(std::exchange(failure, nullptr));
}

Executor::Executor(std::vector<StageRunner*> stages, std::vector<std::vector<WorkerPlace>> places)
    : impl_(std::make_unique<Impl>(std::move(stages), places)) {}

Executor::~Executor() = default;

StepReport Executor::run(const Schedule& schedule, const Options& options) {
  return impl_->run(schedule, options);
}

}  // namespace millrace
