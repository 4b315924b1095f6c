#include "controller/cli/torch/training_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "controller/cli/config_layers.hpp"
#include "controller/cli/decoding_place.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/profiler.hpp"
#include "models/data/scenes.hpp"
#include "models/source.hpp"

namespace millrace::cli {
namespace {

std::string generated_folder() {
  const SceneSettings settings;
  const auto folder = std::filesystem::path(default_cache_folder()) / "scenes";
  std::filesystem::create_directories(folder.parent_path());
  if (!std::filesystem::exists(folder)) {
    log_info("data", fmt::format("no --data: making the generated set, {} photos of each of {} "
                                 "kinds of scenes, in {}",
                                 settings.per_class, scene_names().size(), folder.string()));
  }
  make_scenes(folder.string(), settings);
  return folder.string();
}

void require_classes(const TrainingData& data, const TrainingFacts& facts) {
  if (data.classes() == facts.classes) return;
  throw ConfigError("data", fmt::format("{} has the classes {}, the model was trained for {}: give "
                                        "the data set that it was trained on, or one like it",
                                        data.folder, fmt::join(data.classes(), ", "),
                                        fmt::join(facts.classes, ", ")));
}

LoaderSettings plain_loader(const TrainingData& data, const RunConfig& config) {
  LoaderSettings settings;
  settings.format = data.format;
  settings.seed = config.seed;
  settings.skip_bad = config.skip_bad_images;
  return settings;
}

}  // namespace

TrainingData open_training_data(const RunConfig& config, const TrainingFacts* facts) {
  TrainingData data;
  data.folder = config.data.empty() ? generated_folder() : config.data;
  data.split =
      open_data({.path = data.folder, .seed = config.seed, .skip_bad = config.skip_bad_images});
  if (facts != nullptr) require_classes(data, *facts);
  const auto shape = sample_shape_of(config.model);
  data.format = sample_format(shape, {});
  data.format.normalisation =
      facts != nullptr ? normalisation_of(*facts)
                       : millrace::normalisation_of(*data.split.train, data.format.channels);
  log_info("data",
           fmt::format("{} ({}): {} images of {} classes to train, {} to validate", data.folder,
                       data.split.kind, data.split.train->size(), data.classes().size(),
                       data.split.validation ? data.split.validation->size() : 0));
  return data;
}

LoaderSettings validation_loader(const TrainingData& data, const RunConfig& config,
                                 const TrainStep& step) {
  LoaderSettings settings = plain_loader(data, config);
  settings.batch = step.plan().batch;
  const DecodingPlace place = decoding_place(step.plan(), step.topology());
  settings.cpus = place.cpus;
  if (!place.beside_steps) settings.look_ahead = 0;
  return settings;
}

LoaderSettings training_loader(const TrainingData& data, const RunConfig& config,
                               const TrainStep& step) {
  LoaderSettings settings = validation_loader(data, config, step);
  settings.augmentation = default_augmentation(*data.split.train, data.format);
  return settings;
}

double decoding_ns(const TrainingData& data, const RunConfig& config) {
  LoaderSettings settings = plain_loader(data, config);
  settings.augmentation = default_augmentation(*data.split.train, data.format);
  return loader_ns_per_sample(*data.split.train, settings);
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
  facts.classes = data.classes();
  const Normalisation& own = data.format.normalisation;
  facts.mean = {own.mean.begin(), own.mean.end()};
  facts.deviation = {own.deviation.begin(), own.deviation.end()};
  return facts;
}

}  // namespace millrace::cli
