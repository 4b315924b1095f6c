#include "controller/cli/planning.hpp"
#include "controller/cli/torch_verbs.hpp"
#include "controller/cli/verbs.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {

void add_train(CLI::App& program, Action& action) {
  const auto command = std::make_shared<TrainCommand>();
  Verb verb(program, action, "train", "trains a model and keeps everything in one folder");
  verb.model().settings({SettingGroup::shared, SettingGroup::planning, SettingGroup::data,
                         SettingGroup::training, SettingGroup::ending, SettingGroup::watching});
  verb.app().add_option("--out", command->out, "folder of the run")->type_name("DIR")->required();
  verb.app().add_flag("--force", command->force, "write over an earlier run in that folder");
  verb.examples(
      "  millrace train alexnet --data photos --epochs 90 --out run\n"
      "  millrace train alexnet-32 --data cifar-10 --time 10m --lr 0.02 --out run\n"
      "  millrace train alexnet-32 --data cifar-10 --epochs 5 --deadline 18:30 --out run\n"
      "  millrace train lenet5 --steps 500 --set checkpoint.every_steps=100 --out run --force\n"
      "  millrace train alexnet-32 --epochs 20 --out run --http 8080     watch it in a browser");
  verb.runs([command](const SettingLayers& layers, const Presentation& presentation) {
    command->config = resolved_with_model(layers);
    const RunConfig& config = command->config;
    if (!config.epochs && !config.steps && !config.time_ns && !config.deadline) {
      throw ConfigError(
          "usage", "train needs an end: --epochs N, --steps N, --time 10m or --deadline 18:30");
    }
    check_deadline(config);
    return torch_verbs().train(*command, presentation);
  });
}

void add_resume(CLI::App& program, Action& action) {
  const auto command = std::make_shared<ResumeCommand>();
  Verb verb(program, action, "resume", "continues a training to the end that was asked");
  verb.app()
      .add_option("folder", command->folder, "folder of the run")
      ->type_name("DIR")
      ->required();
  verb.settings(
      {SettingGroup::shared, SettingGroup::data, SettingGroup::ending, SettingGroup::watching});
  verb.examples(
      "  millrace resume run\n"
      "  millrace resume run --epochs 20      to another end\n"
      "  millrace resume run --deadline 2h    on as few cores as are enough for it\n"
      "  millrace resume run --cores big      on other cores: a new plan is searched");
  verb.runs([command](const SettingLayers& layers, const Presentation& presentation) {
    command->layers = layers;
    return torch_verbs().resume(*command, presentation);
  });
}

}  // namespace millrace::cli
