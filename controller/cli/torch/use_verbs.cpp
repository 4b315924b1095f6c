// eval and export: what uses a training.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/cli/torch/trained_model.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "models/weights.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Evaluation evaluate_with(const Model& model, RunConfig config, const TrainingData& data) {
  if (!data.validation) {
    throw ConfigError("data", data.folder +
                                  " has nothing to validate on: put images into val/ beside "
                                  "train/, text into val.txt beside train.txt");
  }
  config.optimizer = {};  // nothing is learnt
  config.learning_rate = {};
  TrainStep step = TrainStep::prepare(model, train_settings(config, 1));
  return evaluate_all(step, data, validation_loader(config, step));
}

Evaluation evaluate_run(const EvalCommand& command) {
  const TrainedModel trained = open_trained(command.source, command.checkpoint);
  const RunConfig config = config_of_run(command.source, command.layers);
  return evaluate_with(trained.model, config, open_training_data(config, &trained.facts));
}

Evaluation evaluate_file(const EvalCommand& command) {
  if (!fs::exists(command.source)) {
    throw ConfigError("run", command.source +
                                 ": there is no such folder or file: give the folder "
                                 "of a training, or a file of weights");
  }
  RunConfig config = resolve(command.layers);
  if (config.model.empty()) {
    throw ConfigError("usage",
                      "a file of weights does not say of which model: name it, as in "
                      "`millrace eval " +
                          command.source + " alexnet`");
  }
  config.weights = command.source;
  const TrainingData data = open_training_data(config);
  const Model model = prepare_model(config, static_cast<std::int64_t>(data.classes.size()));
  return evaluate_with(model, config, data);
}

std::string text_of(const Evaluation& evaluation) {
  return fmt::format("accuracy {:.2f} %, loss {:.4f} on {} samples", 100 * evaluation.accuracy,
                     evaluation.loss, evaluation.samples);
}

Json json_of(const Evaluation& evaluation) {
  return {{"accuracy", evaluation.accuracy},
          {"loss", evaluation.loss},
          {"samples", evaluation.samples}};
}

}  // namespace

int run_eval(const EvalCommand& command, const Presentation& presentation) {
  const Evaluation evaluation =
      fs::is_directory(command.source) ? evaluate_run(command) : evaluate_file(command);
  print(presentation.json ? json_text(json_of(evaluation)) : text_of(evaluation));
  return 0;
}

int run_export(const ExportCommand& command, const Presentation& presentation) {
  check_weights_ending(command.output);
  const TrainedModel trained = open_trained(command.folder, command.checkpoint);
  const TrainingFacts& facts = trained.facts;
  save_weights(trained.model, command.output, {facts.classes, facts.mean, facts.deviation});
  log_info("export", fmt::format("wrote {} (step {})", command.output, trained.step));
  if (presentation.json) {
    print(json_text(
        {{"file", command.output}, {"model", trained.facts.model}, {"step", trained.step}}));
  }
  return 0;
}

}  // namespace millrace::cli
