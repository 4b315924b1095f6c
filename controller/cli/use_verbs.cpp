// The verbs that use what a training left: eval, predict, export.

#include <limits>

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
  Verb verb(program, action, "eval", "loss and accuracy on the validation part of a data set");
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
  Verb verb(program, action, "predict",
            "names what a trained model sees in images, or goes on with texts");
  verb.app().add_option("folder", command->source, "folder of a run")->type_name("DIR")->required();
  verb.app()
      .add_option("input", command->inputs,
                  "JPEG or PNG files; of a model of text, beginnings to go on with")
      ->type_name("IMAGE|TEXT")
      ->required();
  verb.app().add_flag("--skip-bad-images", command->skip_bad_images,
                      "leave out images that cannot be read instead of stopping");
  verb.app()
      .add_option("--length", command->length, "characters that a text goes on for")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  verb.app()
      .add_option("--seed", command->seed, "seed of the characters that are drawn")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()));
  add_checkpoint(verb.app(), command->checkpoint);
  verb.examples(
      "  millrace predict run cat.jpg dog.png --json\n"
      "  millrace predict tales-run \"On Monday \" --length 80");
  verb.runs([command](const SettingLayers&, const Presentation& presentation) {
    return torch_verbs().predict(*command, presentation);
  });
}

void add_export(CLI::App& program, Action& action) {
  const auto command = std::make_shared<ExportCommand>();
  Verb verb(program, action, "export",
            "writes the weights under torchvision's names, as .onnx with the network");
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
