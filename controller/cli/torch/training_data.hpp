#pragma once
// The data set of a run, opened and checked before anything is measured.

#include <memory>
#include <string>
#include <vector>

#include "controller/checkpoint.hpp"
#include "controller/cli/run_config.hpp"
#include "models/data/augment.hpp"
#include "models/data/loader.hpp"

namespace millrace::cli {

struct TrainingData {
  std::string folder;  ///< of text a file, too
  std::shared_ptr<const Samples> train;
  std::shared_ptr<const Samples> validation;  ///< null where there is none
  std::vector<std::string> classes;           ///< names by label; of text its characters
  Normalisation normalisation;                ///< of images
};

/// Opens config.data as the model reads it, or makes the generated set in the cache folder.
/// `facts`: the checkpoint whose normalisation is kept and whose classes the set must have; null
/// for a fresh model. Throws ConfigError (tag "data").
TrainingData open_training_data(const RunConfig& config, const TrainingFacts* facts = nullptr);

/// For training and for validation: `step`'s batch, decoded on its cores.
LoaderSettings training_loader(const RunConfig& config, const TrainStep& step);
LoaderSettings validation_loader(const RunConfig& config, const TrainStep& step);

/// The normalisation that a checkpoint keeps, and back.
Normalisation normalisation_of(const TrainingFacts& facts);
/// A model of a file goes with the run, under the file's own name.
std::string kept_name(const std::string& model);

TrainingFacts facts_of(const RunConfig& config, const TrainingData& data);

}  // namespace millrace::cli
