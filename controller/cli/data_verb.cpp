#include "controller/cli/torch_verbs.hpp"
#include "controller/cli/verbs.hpp"

namespace millrace::cli {

void add_data(CLI::App& program, Action& action) {
  const auto command = std::make_shared<DataCommand>();
  CLI::App* data = program.add_subcommand("data", "makes data sets");
  data->require_subcommand(1);
  Verb verb(*data, action, "make", "renders photos of ten kinds of scenes, a folder per class");
  verb.app().add_option("folder", command->folder, "where to")->type_name("DIR")->required();
  command->per_class = 60;
  verb.app()
      .add_option("--per-class", command->per_class, "images of each class")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  verb.app().add_option("--seed", command->seed, "seed of the scenes")->capture_default_str();
  verb.examples(
      "  millrace data make photos\n  millrace data make photos --per-class 200 --seed 7");
  verb.runs([command](const SettingLayers&, const Presentation& presentation) {
    return torch_verbs().make_data(*command, presentation);
  });
}

}  // namespace millrace::cli
