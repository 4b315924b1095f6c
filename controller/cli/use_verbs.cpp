// The verbs that use what a training left: eval, predict, export.

#include "controller/cli/torch_verbs.hpp"
#include "controller/cli/verbs.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

void add_checkpoint(CLI::App& app, std::string& checkpoint) {
  checkpoint = "last";
  app.add_option("--checkpoint", checkpoint, "which one of the run: best, last or a step")
      ->type_name("best|last|N");
}

}  // namespace

void add_eval(CLI::App& program, Action& action) {
  const auto command = std::make_shared<EvalCommand>();
  Verb verb(program, action, "eval", "loss and accuracy on the validation images of a data set");
  verb.app()
      .add_option("source", command->source, "folder of a run, or a file of weights")
      ->type_name("DIR|FILE")
      ->required();
  verb.model().settings({SettingGroup::shared, SettingGroup::data});
  add_checkpoint(verb.app(), command->checkpoint);
  verb.examples(
      "  millrace eval run --data cifar-10\n"
      "  millrace eval alexnet.safetensors alexnet --data photos");
  verb.runs([command](const SettingLayers& layers, const Presentation& presentation) {
    command->layers = layers;
    return torch_verbs().evaluate(*command, presentation);
  });
}

void add_predict(CLI::App& program, Action& action) {
  const auto command = std::make_shared<PredictCommand>();
  Verb verb(program, action, "predict", "names what a trained model sees in images");
  verb.app().add_option("folder", command->source, "folder of a run")->type_name("DIR")->required();
  verb.app()
      .add_option("image", command->images, "JPEG or PNG files")
      ->type_name("IMAGE")
      ->required();
  verb.app().add_flag("--skip-bad-images", command->skip_bad_images,
                      "leave out images that cannot be read instead of stopping");
  add_checkpoint(verb.app(), command->checkpoint);
  verb.examples("  millrace predict run cat.jpg dog.png --json");
  verb.runs([command](const SettingLayers&, const Presentation& presentation) {
    return torch_verbs().predict(*command, presentation);
  });
}

void add_export(CLI::App& program, Action& action) {
  const auto command = std::make_shared<ExportCommand>();
  Verb verb(program, action, "export", "writes the weights under torchvision's names");
  verb.app().add_option("folder", command->folder, "folder of a run")->type_name("DIR")->required();
  verb.app()
      .add_option(
          "-o,--output", command->output,
          "by its ending: .safetensors, .pt or .pth for torch.load, or .onnx with the network")
      ->type_name("FILE")
      ->required();
  add_checkpoint(verb.app(), command->checkpoint);
  verb.examples("  millrace export run -o alexnet.safetensors");
  verb.runs([command](const SettingLayers&, const Presentation& presentation) {
    return torch_verbs().export_weights(*command, presentation);
  });
}

}  // namespace millrace::cli
