// Entries "plan" and "even data parallel": training through the plan of a file. Prints one JSON
// line with the estimate that was made before the timed steps.

#include <fmt/format.h>
#include <torch/types.h>

#include "bench/arguments.hpp"
#include "bench/step_times.hpp"
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

int run(const Arguments& arguments) {
  const int batch = arguments.positive("--batch"), classes = arguments.positive("--classes");
  const Model model = make_model(arguments.text("--model"), classes);
  TrainStep training = TrainStep::prepare(model, settings_of(arguments));
  const RunShape shape{.steps = arguments.positive("--steps")};
  const Estimate estimate = estimate_run(training.profile(), training.plan(), shape);

  torch::manual_seed(1);
  const Batch data{random_inputs(model, batch),
                   random_labels(model, check_model(model).back(), batch)};
  const StepTimes times = time_steps([&] { training.step(data); }, arguments);
  fmt::print(
      "{{\"images_per_second\": {:.6g}, \"expected_ns\": {:.0f}, \"latest_ns\": {:.0f}, "
      "\"measured_ns\": {:.0f}}}\n",
      batch * times.steps / times.seconds, estimate.run.expected_ns, estimate.run.latest_ns,
      times.seconds * 1e9);
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
