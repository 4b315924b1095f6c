#include "framework/execute/executor.hpp"

#include <fmt/format.h>

#include <algorithm>
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
  int lane = 0;
  int index = 0;  ///< within the lane
  WorkerPlace place;
  std::vector<TaskSpan> tasks;  ///< of the step that runs; written by the worker's thread
};

void check_lanes(const std::vector<StageRunner*>& stages, const std::vector<int>& lanes,
                 const std::vector<std::vector<WorkerPlace>>& places) {
  MILLRACE_CHECK(stages.size() == lanes.size(), "execute", "a lane is needed for every stage");
  MILLRACE_CHECK(places.size() == at(count_lanes(lanes)), "execute",
                 "places are needed for every lane");
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const int count = stages[s]->workers();
    const std::size_t given = places[at(lanes[s])].size();
    MILLRACE_CHECK(count > 0 && at(count) == given, "execute",
                   fmt::format("stage {} has {} workers and {} places", s, count, given));
  }
}

std::vector<Worker> workers_of(const std::vector<StageRunner*>& stages,
                               const std::vector<int>& lanes,
                               const std::vector<std::vector<WorkerPlace>>& places) {
  check_lanes(stages, lanes, places);
  std::vector<Worker> workers;
  for (std::size_t lane = 0; lane < places.size(); ++lane)
    for (std::size_t index = 0; index < places[lane].size(); ++index)
      workers.push_back({static_cast<int>(lane), static_cast<int>(index), places[lane][index], {}});
  return workers;
}

/// After the lane's first stage.
std::vector<std::string> names_of(const std::vector<Worker>& workers,
                                  const std::vector<int>& lanes) {
  std::vector<std::string> names;
  for (const Worker& worker : workers) {
    const auto first = std::find(lanes.begin(), lanes.end(), worker.lane) - lanes.begin();
    names.push_back(fmt::format("stage{}-{}", first, worker.index));
  }
  return names;
}

}  // namespace

// One step: every member of the crew walks through its lane's actions; what it needs comes out of
// its channels, so the order over the lanes follows from the schedule alone.
struct Executor::Impl {
  Impl(std::vector<StageRunner*> runners, std::vector<int> lanes_of_stages,
       const std::vector<std::vector<WorkerPlace>>& places)
      : stages(std::move(runners)),
        lanes(std::move(lanes_of_stages)),
        workers(workers_of(stages, lanes, places)),
        crew(names_of(workers, lanes)) {
    run_crew([this](Worker& worker) {
      if (!worker.place.cpus.empty()) bind_this_thread(worker.place.cpus);
      set_team_width(worker.place.threads);
      for (std::size_t s = 0; s < stages.size(); ++s)
        if (lanes[s] == worker.lane) stages[s]->enter(worker.index);
    });
  }

  StepReport run(const Schedule& wanted, const Options& chosen);

  void prepare(const Schedule& wanted);
  void run_crew(const std::function<void(Worker&)>& job);
  void run_actions(Worker& worker);
  void run_action(Worker& worker, const Action& action);
  void run_pass(Worker& worker, const Action& action);
  void update(Worker& worker, const Action& action);
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
  const std::vector<int> lanes;
  std::vector<Worker> workers;
  Schedule schedule;  ///< what `wiring` was made for
  bool splits_backward = false;
  std::unique_ptr<Wiring> wiring;
  Gate gate;
  Options options;
  std::atomic<bool> updating = false;  ///< an update of the step has begun
  std::atomic<bool> failed = false;
  std::exception_ptr failure;  ///< written once, by the worker that set `failed`
  Crew crew;                   ///< last: its threads use all of the above
};

StepReport Executor::Impl::run(const Schedule& wanted, const Options& chosen) {
  prepare(wanted);
  options = chosen;
  updating = false;
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
      wanted.lanes == lanes, "execute",
      fmt::format("the schedule has {} stages on lanes {}, the executor {} on {}", wanted.stages(),
                  fmt::join(wanted.lanes, ", "), stages.size(), fmt::join(lanes, ", ")));
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
  for (const Action& action : schedule.actions[at(worker.lane)]) {
    if (failed) return;
    run_action(worker, action);
  }
}

void Executor::Impl::run_action(Worker& worker, const Action& action) {
  StageRunner& stage = *stages[at(action.stage)];
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
      return update(worker, action);
  }
}

/// All reductions of a lane come before its updates, so the first of these waits for all lanes.
void Executor::Impl::update(Worker& worker, const Action& action) {
  const bool first = worker.tasks.empty() || worker.tasks.back().action.kind != ActionKind::update;
  if (first && options.update_after_all_reduced) gate.arrive_and_wait(options.between);
  if (first && options.before_update) options.before_update();
  if (failed) return;  // meanwhile: the state stays whole
  updating = true;
  measure(worker, action, [&] { stages[at(action.stage)]->update(worker.index); });
}

Payload Executor::Impl::pass(const Worker& worker, const Action& action,
                             const std::vector<Payload>& inputs) {
  StageRunner& stage = *stages[at(action.stage)];
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
        wiring->receive(action.stage, worker.index, action.kind, action.micro_batch);
    measure(worker, action, [&] { result = pass(worker, action, inputs); });
  }
  wiring->send(action.stage, worker.index, action.kind, action.micro_batch, result);
}

template <typename Task>
void Executor::Impl::measure(Worker& worker, const Action& action, const Task& task) {
  const StageRunner& stage = *stages[at(action.stage)];
  const std::int64_t begin_ns = now_ns(), waited_ns = stage.waited_ns();
  task();
  worker.tasks.push_back(
      {action, worker.lane, worker.index, begin_ns, now_ns(), stage.waited_ns() - waited_ns});
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

Executor::Executor(std::vector<StageRunner*> stages, std::vector<int> lanes,
                   std::vector<std::vector<WorkerPlace>> places)
    : impl_(std::make_unique<Impl>(std::move(stages), std::move(lanes), places)) {}

Executor::Executor(std::vector<StageRunner*> stages, std::vector<std::vector<WorkerPlace>> places)
    : Executor(stages, own_lanes(static_cast<int>(stages.size())), std::move(places)) {}

Executor::~Executor() = default;

StepReport Executor::run(const Schedule& schedule, const Options& options) {
  return impl_->run(schedule, options);
}

bool Executor::update_begun() const { return impl_->updating; }

}  // namespace millrace
