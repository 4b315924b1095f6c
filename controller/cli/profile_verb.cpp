#include "controller/cli/torch_verbs.hpp"
#include "controller/cli/verbs.hpp"

namespace millrace::cli {

void add_profile(CLI::App& program, Action& action) {
  const auto command = std::make_shared<ProfileCommand>();
  Verb verb(program, action, "profile", "measures what each layer costs on each kind of core");
  verb.model().settings({SettingGroup::shared, SettingGroup::data});
  verb.app().add_option("-o,--output", command->output, "write the costs")->type_name("FILE");
  verb.app()
      .add_option("--board", command->board,
                  "what it might cost on this board: this machine's costs by the board's kinds")
      ->type_name("NAME");
  verb.app().add_flag("--fresh", command->fresh, "measure though a profile is kept");
  verb.examples(
      "  millrace profile alexnet\n"
      "  millrace profile alexnet --data photos      the last layer as wide as the set has "
      "classes\n"
      "  millrace profile alexnet --batch 32 -o costs.json && millrace plan --costs costs.json");
  verb.runs([command](const SettingLayers& layers, const Presentation& presentation) {
    command->config = resolved_with_model(layers);
    return torch_verbs().profile(*command, presentation);
  });
}

}  // namespace millrace::cli
