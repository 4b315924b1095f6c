#include "controller/cli/output.hpp"
#include "controller/cli/planning.hpp"
#include "controller/cli/torch_verbs.hpp"
#include "controller/cli/verbs.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

void require_no_refining(const RunConfig& config, const std::string& flag) {
  if (config.refine == 1) return;
  throw ConfigError("usage", "--refine tries plans on this machine, " + flag +
                                 " is for another one: leave one of them out");
}

/// Needs no tensors, hence not the module.
int plan_of_costs(const PlanCommand& command, const Presentation& presentation) {
  const std::string text = read_file(command.costs, "costs");
  const Profile profile = select_kinds(profile_from_json(text, command.costs), command.config);
  require_allowed(profile, command.costs, command.config);
  const Plan plan = make_plan(profile, command.config, plan_request(command.config));
  if (!command.output.empty()) save(command.output, to_json(plan));
  print(present_plan(plan, profile, presentation.json, command.explain));
  return 0;
}

}  // namespace

void add_plan(CLI::App& program, Action& action) {
  const auto command = std::make_shared<PlanCommand>();
  Verb verb(program, action, "plan", "searches the best partition for the measured costs");
  verb.model().settings({SettingGroup::shared, SettingGroup::planning, SettingGroup::data});
  auto* costs = verb.app()
                    .add_option("--costs", command->costs, "a cost file instead of a model")
                    ->type_name("FILE");
  verb.app()
      .add_option("--board", command->board,
                  "for a board that comes with Millrace, from this machine's costs")
      ->type_name("NAME")
      ->excludes(costs);
  verb.app().add_option("-o,--output", command->output, "write the plan")->type_name("FILE");
  verb.app().add_flag("--explain", command->explain,
                      "draw the stages, the time line and why each alternative lost");
  verb.examples(
      "  millrace plan alexnet --explain\n"
      "  millrace plan --costs costs.json --memory 512M --json\n"
      "  millrace plan resnet18 --board rk3588 --explain\n"
      "  millrace plan alexnet --max-stages 1 -o plan.json && millrace train alexnet --plan "
      "plan.json \\\n"
      "      --steps 100 --out run");
  verb.runs([command](const SettingLayers& layers, const Presentation& presentation) {
    if (command->costs.empty()) {
      command->config = resolved_with_model(layers);
      if (!command->board.empty())
        require_no_refining(command->config, "--board " + command->board);
      return torch_verbs().plan(*command, presentation);
    }
    command->config = resolved(layers);
    require_no_refining(command->config, "--costs " + command->costs);
    if (!command->config.model.empty()) {
      throw ConfigError("usage", "plan takes MODEL or --costs, not both: " + command->config.model +
                                     " and --costs " + command->costs +
                                     ", which names its model itself");
    }
    return plan_of_costs(*command, presentation);
  });
}

}  // namespace millrace::cli
