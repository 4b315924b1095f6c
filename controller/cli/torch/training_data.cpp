#include "controller/cli/torch/training_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "controller/cli/config_layers.hpp"
#include "controller/cli/decoding_place.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/profiler.hpp"
#include "models/data/image_samples.hpp"
#include "models/data/scenes.hpp"
#include "models/data/tales.hpp"
#include "models/data/text.hpp"
#include "models/data/utf8.hpp"
#include "models/source.hpp"
#include "models/weights.hpp"

namespace millrace::cli {
namespace {

/// In the cache folder; `what` says which set is made there.
std::string generated_folder(const std::string& name, const std::string& what) {
  const auto folder = std::filesystem::path(default_cache_folder()) / name;
  std::error_code refused;
  std::filesystem::create_directories(folder.parent_path(), refused);
  if (refused)
    throw ResourceError("data", fmt::format("cannot make {} for the generated set: {}: set "
                                            "MILLRACE_CACHE to a folder that can be written, or "
                                            "give --data DIR",
                                            folder.parent_path().string(), refused.message()));
  if (!std::filesystem::exists(folder))
    log_info("data",
             fmt::format("no --data: making the generated set, {}, in {}", what, folder.string()));
  return folder.string();
}

std::string generated_images() {
  const SceneSettings settings;
  const std::string folder =
      generated_folder("scenes", fmt::format("{} photos of each of {} kinds of scenes",
                                             settings.per_class, scene_names().size()));
  make_scenes(folder, settings);
  return folder;
}

std::string generated_text() {
  const TaleSettings settings;
  const std::string folder = generated_folder("tales", fmt::format("{} tales", settings.tales));
  make_tales(folder, settings);
  return folder;
}

void require_classes(const TrainingData& data, const TrainingFacts& facts) {
  if (data.classes == facts.classes) return;
  throw ConfigError("data", fmt::format("{} has the classes {}, the model was trained for {}: give "
                                        "the data set that it was trained on, or one like it",
                                        data.folder, fmt::join(data.classes, ", "),
                                        fmt::join(facts.classes, ", ")));
}

/// As checkpoints keep and show them: a folder's name need not be UTF-8.
std::vector<std::string> names_in_utf8(const TrainingData& data, const Dataset& set) {
  const auto& own = set.class_names();
  std::vector<std::string> names;
  for (const std::string& name : own) {
    names.push_back(valid_utf8(name));
    const auto same = std::find(names.begin(), names.end(), names.back()) - names.begin();
    if (own[static_cast<std::size_t>(same)] != name)
      throw ConfigError(
          "data", fmt::format("{}: classes {} and {} by name are both '{}' in UTF-8, which their "
                              "names are not, they must differ: rename their folders",
                              data.folder, same, names.size() - 1, names.back()));
  }
  return names;
}

/// What the model's published weights expect of photos, else what is known of the set.
Normalisation fresh_normalisation(const std::string& model, const DataSplit& split, int channels) {
  const bool photos = split.kind == "image folder" && channels == 3;
  if (photos && !is_model_file(model) && model_info(model).centres_photos) {
    const std::vector<float> half(3, 0.5f);
    return {half, half};
  }
  return millrace::normalisation_of(*split.train, channels);
}

TrainingData open_images(const RunConfig& config, const std::vector<std::int64_t>& shape,
                         const TrainingFacts* facts) {
  TrainingData data;
  data.folder = config.data.empty() ? generated_images() : config.data;
  const DataSplit split =
      open_data({.path = data.folder, .seed = config.seed, .skip_bad = config.skip_bad_images});
  data.classes = names_in_utf8(data, *split.train);
  if (facts != nullptr) require_classes(data, *facts);
  SampleFormat format = sample_format(shape, {});
  format.normalisation = facts != nullptr
                             ? normalisation_of(*facts)
                             : fresh_normalisation(config.model, split, format.channels);
  data.normalisation = format.normalisation;
  data.train = std::make_shared<ImageSamples>(split.train, format);
  if (split.validation) data.validation = std::make_shared<ImageSamples>(split.validation, format);
  log_info("data", fmt::format("{} ({}): {} images of {} classes to train, {} to validate",
                               data.folder, split.kind, split.train->size(), data.classes.size(),
                               split.validation ? split.validation->size() : 0));
  return data;
}

/// The characters that the model knows; absent: those of the data.
std::optional<std::vector<std::string>> known_characters(const RunConfig& config,
                                                         const TrainingFacts* facts) {
  if (facts != nullptr) return facts->classes;
  const bool from_file = config.weights.empty() && is_model_file(config.model);
  const std::string& source = from_file ? config.model : config.weights;
  if (source.empty() || config.new_head) return std::nullopt;
  auto characters = classes_in(source);
  if (!characters)
    log_warning("data", source +
                            " does not say which characters its ids stand for: they are taken for "
                            "those of the data, by code point");
  return characters;
}

TrainingData open_characters(const RunConfig& config, std::int64_t length,
                             const TrainingFacts* facts) {
  TrainingData data;
  data.folder = config.data.empty() ? generated_text() : config.data;
  Text text = open_text({.path = data.folder, .characters = known_characters(config, facts)});
  const std::size_t train = text.train.size(), validation = text.validation.size();
  data.classes = std::move(text.characters);
  data.train = std::make_shared<TextSamples>(std::move(text.train), length);
  data.validation = std::make_shared<TextSamples>(std::move(text.validation), length);
  if (data.train->size() == 0) {
    throw ConfigError("data", fmt::format("{} has {} characters to train on, a sample takes {}: "
                                          "give more text",
                                          data.folder, train, length + 1));
  }
  if (data.validation->size() == 0) {
    log_warning("data", fmt::format("{} has {} characters to validate on, a sample takes {}: none "
                                    "is validated",
                                    data.folder, validation, length + 1));
    data.validation = nullptr;
  }
  log_info("data", fmt::format("{} (text of {} different characters): {} characters to train, {} "
                               "to validate",
                               data.folder, data.classes.size(), train, validation));
  return data;
}

}  // namespace

TrainingData open_training_data(const RunConfig& config, const TrainingFacts* facts) {
  const auto shape = sample_shape_of(config.model);
  return source_reads_text(config.model) ? open_characters(config, shape.front(), facts)
                                         : open_images(config, shape, facts);
}

LoaderSettings validation_loader(const RunConfig& config, const TrainStep& step) {
  LoaderSettings settings;
  settings.batch = step.plan().batch;
  settings.seed = config.seed;
  settings.skip_bad = config.skip_bad_images;
  const DecodingPlace place = decoding_place(step.plan(), step.topology());
  settings.cpus = place.cpus;
  if (!place.beside_steps) settings.look_ahead = 0;
  return settings;
}

LoaderSettings training_loader(const RunConfig& config, const TrainStep& step) {
  LoaderSettings settings = validation_loader(config, step);
  settings.training = true;
  return settings;
}

Normalisation normalisation_of(const TrainingFacts& facts) {
  return {{facts.mean.begin(), facts.mean.end()}, {facts.deviation.begin(), facts.deviation.end()}};
}

std::string kept_name(const std::string& model) {
  return is_model_file(model) ? std::filesystem::path(model).filename().string() : model;
}

TrainingFacts facts_of(const RunConfig& config, const TrainingData& data) {
  TrainingFacts facts;
  facts.model = kept_name(config.model);
  facts.seed = config.seed;
  RunConfig kept = config;
  kept.model = facts.model;
  facts.configuration = to_toml(kept);
  facts.classes = data.classes;
  facts.samples = data.train->size();
  const Normalisation& own = data.normalisation;
  facts.mean = {own.mean.begin(), own.mean.end()};
  facts.deviation = {own.deviation.begin(), own.deviation.end()};
  return facts;
}

}  // namespace millrace::cli
