#include "controller/cli/torch/trained_model.hpp"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "controller/cli/planning.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "models/source.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;

void read_weights(const SafetensorsFile& file, const Model& model,
                  const std::vector<std::pair<std::string, torch::Tensor>>& tensors) {
  for (const auto& [name, tensor] : tensors) {
    const auto* entry = file.find(name);
    if (entry == nullptr || entry->shape != tensor.sizes().vec()) {
      throw ConfigError(
          "checkpoint",
          fmt::format(
              "{} of {} is {} in the checkpoint, the model has [{}]: it is of another model", name,
              model.name, entry == nullptr ? "absent" : fmt::format("{}", entry->shape),
              fmt::join(tensor.sizes(), ", ")));
    }
    file.read(*entry, tensor.data_ptr());
  }
}

/// A model's file lies in the run's folder.
std::string source_in(const std::string& folder, const std::string& model) {
  return is_model_file(model) ? (fs::path(folder) / model).string() : model;
}

bool speaks_of_the_plan(const std::string& key) {
  return key.starts_with("plan.") || key.starts_with("machine.") || key == "train.precision" ||
         key.starts_with("train.deadline");
}

bool changes_the_plan(const SettingLayers& layers) {
  return !layers.file.empty() ||
         std::any_of(layers.flags.begin(), layers.flags.end(),
                     [](const auto& flag) { return speaks_of_the_plan(flag.first); }) ||
         std::any_of(layers.assignments.begin(), layers.assignments.end(), speaks_of_the_plan);
}

}  // namespace

TrainedModel open_trained(const std::string& folder, const std::string& checkpoint) {
  const auto checkpoints = fs::path(folder) / "checkpoints";
  if (!fs::is_directory(checkpoints)) {
    throw ConfigError("run", folder +
                                 " is not the folder of a training (no checkpoints there): "
                                 "give what `millrace train --out` was given");
  }
  const Checkpoint opened = CheckpointFolder(checkpoints).open(checkpoint);
  const TrainingFacts& facts = opened.info.facts;
  const auto classes = static_cast<std::int64_t>(facts.classes.size());
  // A file's network may have got a new head, and its weights are read below.
  TrainedModel trained{
      open_model(source_in(folder, facts.model), classes, 1, NewHead::where_needed), facts,
      opened.info.step};
  read_weights(opened.file, trained.model, named_parameters(trained.model));
  read_weights(opened.file, trained.model, named_buffers(trained.model));
  for (Layer& layer : trained.model.layers) layer.module.ptr()->eval();
  return trained;
}

RunConfig config_of_run(const std::string& folder, const SettingLayers& layers) {
  const auto file = fs::path(folder) / "config.toml";
  const RunConfig kept = apply_toml({}, read_file(file, "run"), file.string());
  RunConfig config = settle_plan(resolve(layers, kept));
  if (config.batch != kept.batch || config.model != kept.model || config.seed != kept.seed) {
    throw ConfigError("run", fmt::format("{} has model {}, batch {} and seed {}: leave these flags "
                                         "out, or train anew",
                                         folder, kept.model, kept.batch, kept.seed));
  }
  config.model = source_in(folder, kept.model);
  if (!changes_the_plan(layers)) {
    config.plan_file = (fs::path(folder) / "plan.json").string();
    config.costs_file = (fs::path(folder) / "costs.json").string();
  }
  return config;
}

}  // namespace millrace::cli
