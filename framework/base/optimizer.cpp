#include "millrace/optimizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

void need(bool holds, const std::string& name, double value, const std::string& rule) {
  if (!holds)
    throw ConfigError("optimizer", fmt::format("{} is {}, it must be {}", name, value, rule));
}

}  // namespace

double LearningRateSchedule::factor(std::int64_t step) const {
  if (step < warmup_steps) return static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  const std::int64_t t = step - warmup_steps;
  if (name == "step") return std::pow(gamma, static_cast<double>(t / step_size));
  if (name == "cosine") {
    const double length =
        static_cast<double>(std::max<std::int64_t>(1, total_steps - warmup_steps));
    const double progress = std::min(1.0, static_cast<double>(t) / length);
    return 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  return 1;
}

void check(const OptimizerSettings& settings) {
  const auto finite = [](double value) { return std::isfinite(value); };
  need(finite(settings.learning_rate) && settings.learning_rate >= 0, "the learning rate",
       settings.learning_rate, "a number of at least 0");
  need(settings.momentum >= 0 && settings.momentum < 1, "momentum", settings.momentum,
       "at least 0 and below 1");
  need(!settings.nesterov || settings.momentum > 0, "momentum", settings.momentum,
       "above 0 with nesterov");
  need(finite(settings.weight_decay) && settings.weight_decay >= 0, "weight decay",
       settings.weight_decay, "at least 0");
  need(settings.beta1 >= 0 && settings.beta1 < 1, "beta1", settings.beta1,
       "at least 0 and below 1");
  need(settings.beta2 >= 0 && settings.beta2 < 1, "beta2", settings.beta2,
       "at least 0 and below 1");
  need(finite(settings.epsilon) && settings.epsilon > 0, "epsilon", settings.epsilon, "above 0");
  need(finite(settings.clip_norm) && settings.clip_norm >= 0, "the clipping norm",
       settings.clip_norm, "at least 0 (0: off)");
}

void check(const LearningRateSchedule& schedule) {
  if (schedule.name != "constant" && schedule.name != "step" && schedule.name != "cosine") {
    throw ConfigError("optimizer", fmt::format("the learning-rate schedule \"{}\" is unknown: "
                                               "constant, step or cosine",
                                               schedule.name));
  }
  need(schedule.warmup_steps >= 0, "warm-up steps", static_cast<double>(schedule.warmup_steps),
       "at least 0");
  need(schedule.step_size >= 1, "the step size", static_cast<double>(schedule.step_size),
       "at least 1");
  need(schedule.name != "cosine" || schedule.total_steps > schedule.warmup_steps,
       "the cosine's length", static_cast<double>(schedule.total_steps), "above the warm-up steps");
  need(schedule.gamma > 0 && schedule.gamma <= 1, "gamma", schedule.gamma, "above 0 and at most 1");
}

}  // namespace millrace
