#include "controller/calendar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "train";

void check_end(const TrainingEnd& end) {
  int given = 0;
  for (const auto& value : std::array{end.steps, end.epochs, end.time_ns}) {
    given += value ? 1 : 0;
    if (value && *value <= 0) {
      throw ConfigError(kTag, fmt::format("the run's end is {}, more than 0 is needed", *value));
    }
  }
  if (given == 0 && end.deadline_ns) return;
  if (given != 1) {
    throw ConfigError(kTag,
                      fmt::format("{} ends are given, exactly one is needed: --steps, --epochs "
                                  "or --time, or --deadline alone",
                                  given));
  }
}

void check_interval(const char* name, std::int64_t value) {
  if (value >= 0) return;
  throw ConfigError(kTag, fmt::format("{} is {}, at least 0 is needed (0: off)", name, value));
}

}  // namespace

Calendar::Calendar(const Rules& rules) : rules_(rules) {
  check_end(rules.end);
  check_interval("train.evaluate_every_epochs", rules.evaluate_every_epochs);
  check_interval("checkpoint.every_steps", rules.checkpoint_every_steps);
  MILLRACE_CHECK(rules.steps_per_epoch >= 1, kTag, "an epoch has steps");
  last_step_ = rules.end.steps;
  if (rules.end.epochs) last_step_ = *rules.end.epochs * rules.steps_per_epoch;
}

bool Calendar::ended(std::int64_t step, std::int64_t elapsed_ns) const {
  if (last_step_) return step >= *last_step_;
  return time_ns() && elapsed_ns >= *time_ns();
}

std::int64_t Calendar::epoch_of(std::int64_t step) const {
  return std::max<std::int64_t>(0, step - 1) / rules_.steps_per_epoch;
}

bool Calendar::evaluation_due(std::int64_t step) const { return evaluations(step - 1, step) > 0; }
bool Calendar::epoch_ends(std::int64_t step) const { return epoch_ends(step - 1, step) > 0; }
bool Calendar::checkpoint_due(std::int64_t step) const { return checkpoints(step - 1, step) > 0; }

std::int64_t Calendar::evaluations(std::int64_t from, std::int64_t to) const {
  return count(rules_.evaluate_every_epochs * rules_.steps_per_epoch, from, to);
}

std::int64_t Calendar::epoch_ends(std::int64_t from, std::int64_t to) const {
  return to / rules_.steps_per_epoch - from / rules_.steps_per_epoch;
}

std::int64_t Calendar::checkpoints(std::int64_t from, std::int64_t to) const {
  return count(rules_.checkpoint_every_steps, from, to);
}

std::int64_t Calendar::count(std::int64_t interval, std::int64_t from, std::int64_t to) const {
  const std::int64_t multiples = interval > 0 ? to / interval - from / interval : 0;
  const bool last_inside = last_step_ && from < *last_step_ && *last_step_ <= to;
  const bool last_is_multiple = last_inside && interval > 0 && *last_step_ % interval == 0;
  return multiples + (last_inside && !last_is_multiple ? 1 : 0);
}

}  // namespace millrace
