// eval, predict, export: what uses a training.

#include <ATen/ops/softmax.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/cli/torch/trained_model.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/plain_forward.hpp"
#include "models/weights.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Prediction {
  std::string image, label;
  double probability = 0;
};

Prediction predict(const TrainedModel& trained, const SampleFormat& format,
                   const std::string& image) {
  const c10::NoGradGuard no_gradients;
  const torch::Tensor outputs = plain_forward(trained.model, load_image(image, format));
  const auto [probability, label] = at::softmax(outputs, 1).max(1);
  return {image, trained.facts.classes.at(static_cast<std::size_t>(label.item<std::int64_t>())),
          probability.item<double>()};
}

Json json_of(const std::vector<Prediction>& predictions) {
  Json list = Json::array();
  for (const Prediction& prediction : predictions) {
    list.push_back({{"image", prediction.image},
                    {"label", prediction.label},
                    {"probability", prediction.probability}});
  }
  return {{"predictions", list}};
}

std::string text_of(const std::vector<Prediction>& predictions) {
  std::string text;
  for (const Prediction& prediction : predictions) {
    text += fmt::format("{}: {} ({:.1f} %)\n", prediction.image, prediction.label,
                        100 * prediction.probability);
  }
  return text;
}

Evaluation evaluate_with(const Model& model, RunConfig config, const TrainingData& data) {
  if (!data.split.validation) {
    throw ConfigError("data", data.folder +
                                  " has no images to validate on: put them into val/ "
                                  "beside train/");
  }
  config.optimizer = {};  // nothing is learnt
  config.learning_rate = {};
  TrainStep step = TrainStep::prepare(model, train_settings(config, 1));
  return evaluate_all(step, data, config);
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
  const Model model = prepare_model(config, static_cast<std::int64_t>(data.classes().size()));
  return evaluate_with(model, config, data);
}

std::string text_of(const Evaluation& evaluation) {
  return fmt::format("accuracy {:.2f} %, loss {:.4f} on {} images", 100 * evaluation.accuracy,
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

int run_predict(const PredictCommand& command, const Presentation& presentation) {
  const TrainedModel trained = open_trained(command.source, command.checkpoint);
  const SampleFormat format =
      sample_format(trained.model.sample_shape, normalisation_of(trained.facts));
  std::vector<Prediction> predictions;
  for (const std::string& image : command.images) {
    try {
      predictions.push_back(predict(trained, format, image));
    } catch (const ConfigError& broken) {
      const bool none_left = predictions.empty() && &image == &command.images.back();
      if (!command.skip_bad_images || broken.tag() != "image" || none_left) throw;
      log_warning("data", std::string(broken.what()) + " (left out)");
    }
  }
  print(presentation.json ? json_text(json_of(predictions)) : text_of(predictions));
  return 0;
}

int run_export(const ExportCommand& command, const Presentation& presentation) {
  check_weights_ending(command.output);
  const TrainedModel trained = open_trained(command.folder, command.checkpoint);
  save_weights(trained.model, command.output);
  log_info("export", fmt::format("wrote {} (step {})", command.output, trained.step));
  if (presentation.json) {
    print(json_text(
        {{"file", command.output}, {"model", trained.facts.model}, {"step", trained.step}}));
  }
  return 0;
}

}  // namespace millrace::cli
