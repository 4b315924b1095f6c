// predict: what a trained model says of images, and how it goes on with texts.

#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "controller/cli/torch/trained_model.hpp"
#include "controller/cli/torch/training_data.hpp"
#include "controller/cli/torch/verbs.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/plain_forward.hpp"
#include "models/data/draws.hpp"
#include "models/data/text.hpp"

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Prediction {
  std::string image, label;
  double probability = 0;
};

Prediction predict(const TrainedModel& trained, const SampleFormat& format,
                   const std::string& image) {
  const torch::Tensor outputs = plain_forward(trained.model, load_image(image, format));
  const auto [probability, label] = at::softmax(outputs, 1).max(1);
  return {image, trained.facts.classes.at(static_cast<std::size_t>(label.item<std::int64_t>())),
          probability.item<double>()};
}

std::vector<Prediction> predict_all(const TrainedModel& trained, const PredictCommand& command) {
  const SampleFormat format =
      sample_format(trained.model.sample_shape, normalisation_of(trained.facts));
  std::vector<Prediction> predictions;
  for (const std::string& image : command.inputs) {
    try {
      predictions.push_back(predict(trained, format, image));
    } catch (const ConfigError& broken) {
      const bool none_left = predictions.empty() && &image == &command.inputs.back();
      if (!command.skip_bad_images || broken.tag() != "image" || none_left) throw;
      log_warning("data", std::string(broken.what()) + " (left out)");
    }
  }
  return predictions;
}

std::string present(const std::vector<Prediction>& predictions, bool json) {
  Json list = Json::array();
  std::string text;
  for (const auto& [image, label, probability] : predictions) {
    list.push_back({{"image", image}, {"label", label}, {"probability", probability}});
    text += fmt::format("{}: {} ({:.1f} %)\n", image, label, 100 * probability);
  }
  return json ? json_text({{"predictions", list}}) : text;
}

/// The first id up to which the probabilities sum to more than `draw`, which is 0..1.
std::int64_t id_at(const torch::Tensor& probabilities, double draw) {
  const float* const p = probabilities.data_ptr<float>();
  double sum = 0;
  for (std::int64_t id = 0; id < probabilities.numel(); ++id)
    if ((sum += p[id]) > draw) return id;
  return probabilities.numel() - 1;
}

/// Draws each character by the probability that the model gives it behind those before it, of
/// which it sees as many as a sample has.
std::string go_on(const TrainedModel& trained, const std::string& beginning,
                  const PredictCommand& command) {
  const std::vector<std::string>& characters = trained.facts.classes;
  const auto begun = encode(beginning, characters, "\"" + beginning + "\"");
  if (begun.empty()) throw ConfigError("usage", "a text to go on with has at least 1 character");
  std::vector<std::int64_t> ids(begun.begin(), begun.end());
  const std::int64_t window = trained.model.sample_shape.front();
  Draws draws{command.seed};
  std::string text = beginning;
  for (std::int64_t i = 0; i < command.length; ++i) {
    const auto seen = std::min(window, std::ssize(ids));
    const std::vector<std::int64_t> last(ids.end() - seen, ids.end());
    const torch::Tensor inputs = at::tensor(last, at::kLong).unsqueeze(0);
    const torch::Tensor outputs = plain_forward(trained.model, inputs)[0][-1];
    ids.push_back(id_at(at::softmax(outputs, 0), draws.uniform()));
    text += characters.at(static_cast<std::size_t>(ids.back()));
  }
  return text;
}

std::string present_texts(const TrainedModel& trained, const PredictCommand& command, bool json) {
  Json list = Json::array();
  std::string all;
  for (const std::string& beginning : command.inputs) {
    const std::string text = go_on(trained, beginning, command);
    list.push_back({{"beginning", beginning}, {"text", text}});
    all += text + "\n";
  }
  return json ? json_text({{"predictions", list}}) : all;
}

}  // namespace

int run_predict(const PredictCommand& command, const Presentation& presentation) {
  const c10::NoGradGuard no_gradients;
  const TrainedModel trained = open_trained(command.source, command.checkpoint);
  print(trained.model.vocabulary > 0 ? present_texts(trained, command, presentation.json)
                                     : present(predict_all(trained, command), presentation.json));
  return 0;
}

}  // namespace millrace::cli
