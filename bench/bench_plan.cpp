// Entries "plan" and "even data parallel": training through the plan of a file. Prints one JSON
// line with what the costs predict of the timed steps and the estimate once the plan was tried.

#include <fmt/format.h>
#include <torch/types.h>

#include <iterator>

#include "bench/arguments.hpp"
#include "bench/step_times.hpp"
#include "controller/rehearsal.hpp"
#include "framework/base/file.hpp"
#include "millrace/estimate.hpp"
#include "millrace/train_step.hpp"
#include "models/zoo/zoo.hpp"

namespace millrace::bench {
namespace {

TrainSettings settings_of(const Arguments& arguments) {
  TrainSettings settings;
  settings.machine.list_gpus = false;
  settings.cores = arguments.text("--cores");
  settings.profile.batch = arguments.positive("--batch");
  settings.plan.batch = settings.profile.batch;
  const std::string& file = arguments.text("--plan");
  settings.given_plan = plan_from_json(read_file(file, "plan"), file);
  const std::string& costs = arguments.text("--costs");
  settings.given_costs = profile_from_json(read_file(costs, "costs"), costs);
  return settings;
}

/// As `estimate` tries the steps of a plan for a long run: behind one that takes memory, `least` at
/// least.
template <typename Step>
Rehearsal tried(const Step& step, int least) {
  constexpr double kLongRun_ns = 1e12;
  StepTrial trial(kLongRun_ns);
  time_of(step, 1);
  while (std::ssize(trial.steps_ns()) < least || !trial.tells_enough())
    trial.add(1e9 * time_of(step, 1).seconds);
  return {.steps_ns = trial.steps_ns()};
}

int run(const Arguments& arguments) {
  const int batch = arguments.positive("--batch"), classes = arguments.positive("--classes");
  const Model model = make_model(arguments.text("--model"), classes);
  TrainStep training = TrainStep::prepare(model, settings_of(arguments));
  const RunShape shape{.steps = arguments.positive("--steps")};
  const double predicted_ns =
      estimate_run(training.profile(), training.plan(), shape).run.expected_ns;

  torch::manual_seed(1);
  const Batch data{random_inputs(model, batch),
                   random_labels(model, check_model(model).back(), batch)};
  const auto step = [&] { training.step(data); };
  const Estimate estimate = estimate_run(training.profile(), training.plan(), shape, 0.99,
                                         tried(step, arguments.positive("--warmup")));
  const StepTimes times = time_of(step, static_cast<int>(shape.steps));
  fmt::print(
      "{{\"images_per_second\": {:.6g}, \"predicted_ns\": {:.0f}, \"expected_ns\": {:.0f}, "
      "\"latest_ns\": {:.0f}, \"measured_ns\": {:.0f}}}\n",
      batch * times.steps / times.seconds, predicted_ns, estimate.run.expected_ns,
      estimate.run.latest_ns, times.seconds * 1e9);
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
