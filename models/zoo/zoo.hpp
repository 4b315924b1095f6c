#pragma once
// Builds the models of the zoo.

#include <cstdint>
#include <string>

#include "millrace/model.hpp"
#include "models/zoo/list.hpp"

namespace millrace {

/// The model with `classes` outputs (0: its default), softmax cross-entropy, initial weights that
/// follow from the seed: torchvision's where it draws its own, else those of initialise(model,
/// seed).
/// Throws ConfigError (tag "model"): an unknown name, fewer than 2 classes.
Model make_model(const std::string& name, std::int64_t classes, std::uint64_t seed = 1);

}  // namespace millrace
