// predict: what a trained model says of images, and how it goes on with texts.

#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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
      log_warning("data", std::string("left out: ") + broken.what());
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

/// The first id up to which the probabilities sum to more than `draw`, which is 0..1; where they
/// sum to less, by round-off, the last that is possible.
std::int64_t id_at(const torch::Tensor& probabilities, double draw) {
  const float* const p = probabilities.data_ptr<float>();
  double sum = 0;
  std::int64_t possible = -1;
  for (std::int64_t id = 0; id < probabilities.numel(); ++id) {
    if (p[id] > 0) possible = id;
    if ((sum += p[id]) > draw) return id;
  }
  if (possible >= 0 && std::isfinite(sum)) return possible;
  throw ConfigError("predict",
                    "the model's outputs are no numbers: its training diverged, train "
                    "again with a lower --lr");
}

/// Draws each character by the probability that the model gives it behind those before it, of
/// which it sees as many as a sample has.
std::string go_on(const TrainedModel& trained, std::vector<std::int64_t> ids,
                  const PredictCommand& command) {
  const std::vector<std::string>& characters = trained.facts.classes;
  const std::int64_t window = trained.model.sample_shape.front();
  Draws draws{command.seed};
  std::string text;
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

/// Of each beginning; what cannot be read is refused before anything is drawn.
std::vector<std::vector<std::int64_t>> ids_of(const TrainedModel& trained,
                                              const std::vector<std::string>& beginnings) {
  std::vector<std::vector<std::int64_t>> result;
  for (const std::string& beginning : beginnings) {
    const auto ids = encode(beginning, trained.facts.classes, "\"" + beginning + "\"");
    if (ids.empty()) throw ConfigError("usage", "a text to go on with has at least 1 character");
    result.emplace_back(ids.begin(), ids.end());
  }
  return result;
}

std::string present_texts(const TrainedModel& trained, const PredictCommand& command, bool json) {
  const auto begun = ids_of(trained, command.inputs);
  Json list = Json::array();
  std::string all;
  for (std::size_t i = 0; i < begun.size(); ++i) {
    const std::string text = command.inputs[i] + go_on(trained, begun[i], command);
    list.push_back({{"beginning", command.inputs[i]}, {"text", text}});
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
