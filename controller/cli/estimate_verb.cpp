#include "controller/cli/torch_verbs.hpp"
#include "controller/cli/verbs.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {

void add_estimate(CLI::App& program, Action& action) {
  Verb verb(program, action, "estimate", "says how long a training will take, before it runs");
  verb.model().settings({SettingGroup::shared, SettingGroup::planning, SettingGroup::data,
                         SettingGroup::training, SettingGroup::ending});
  verb.examples(
      "  millrace estimate alexnet --steps 1000\n"
      "  millrace estimate alexnet --data photos --epochs 90 --cores big");
  verb.runs([](const SettingLayers& layers, const Presentation& presentation) {
    const EstimateCommand command{resolved_with_model(layers)};
    if (!command.config.epochs && !command.config.steps) {
      throw ConfigError("usage", "estimate needs the length of the run: --epochs N or --steps N");
    }
    return torch_verbs().estimate(command, presentation);
  });
}

}  // namespace millrace::cli
