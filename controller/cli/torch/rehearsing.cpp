#include "controller/cli/torch/rehearsing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <numeric>

#include "controller/deadline.hpp"
#include "controller/estimate/tried_steps.hpp"
#include "controller/rehearsal.hpp"
#include "framework/base/file.hpp"
#include "framework/base/hash.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTag = "estimate";

/// A machine's clock, heat and neighbours change within it.
constexpr auto kKept = std::chrono::minutes(10);
/// Of what is asked for, a rehearsal that was made for a shorter run, or at another speed, is
/// enough.
constexpr double kEnough = 0.5;

fs::path folder() {
  const fs::path path = fs::path(default_cache_folder()) / "rehearsals";
  std::error_code ignored;
  fs::create_directories(path, ignored);  // what is written there says what is wrong
  return path;
}

/// By what the session does, and the data.
fs::path file_of(const ModelSession& session, const RunConfig& config) {
  std::error_code unknown;
  const std::string data = fs::weakly_canonical(config.data, unknown).string();
  Hash64 hash;
  for (const std::string& text : {to_json(without_predictions(session.plan())), data})
    hash.add(text + '\n');
  return folder() / fmt::format("{:016x}.json", hash.value());
}

/// Files that kept_in() takes no longer.
void remove_old() {
  std::error_code ignored;
  for (fs::directory_iterator entry(folder(), ignored), end; entry != end; entry.increment(ignored))
    if (fs::file_time_type::clock::now() - entry->last_write_time(ignored) > kKept)
      fs::remove(entry->path(), ignored);
}

std::optional<Rehearsal> kept_in(const fs::path& file, double run_ns) {
  std::error_code error;
  const auto written = fs::last_write_time(file, error);
  const auto age = fs::file_time_type::clock::now() - written;
  if (error || age > kKept || age < age.zero()) return std::nullopt;
  try {
    Rehearsal kept = rehearsal_from_json(read_file(file, kTag), file.string());
    const double tried_ns = std::accumulate(kept.steps_ns.begin(), kept.steps_ns.end(), 0.0);
    const bool noisy = tried_steps(kept.steps_ns, 0).uncertainty > kNoisy;
    if (tried_ns >= kEnough * rehearsed_ns(run_ns, noisy)) return kept;
  } catch (const ConfigError&) {
  }
  return std::nullopt;
}

void warn_of_noise(const Rehearsal& rehearsal) {
  const TriedSteps steps = tried_steps(rehearsal.steps_ns, 0);
  if (steps.uncertainty <= kNoisy) return;
  const auto [least, most] =
      std::minmax_element(rehearsal.steps_ns.begin(), rehearsal.steps_ns.end());
  log_warning(kTag, fmt::format("the machine is too noisy for a close promise: {} steps that were "
                                "tried took {} to {}, their mean is sure to {:.0f} %; let nothing "
                                "else run beside the training",
                                rehearsal.steps_ns.size(), format_duration(*least),
                                format_duration(*most), 100 * steps.uncertainty));
}

double length_ns(const ModelSession& session, const RunQuestion& run) {
  const RunConfig& config = run.config;
  if (config.epochs || config.steps || config.time_ns)
    return estimate_of(run, session.plan(), session.profile()).run.expected_ns;
  return static_cast<double>(time_still_left_ns(*config.deadline, std::time(nullptr)));
}

std::optional<Rehearsal> kept(const ModelSession& session, const RunQuestion& run) {
  return kept_in(file_of(session, run.config), length_ns(session, run));
}

void keep(const ModelSession& session, const RunConfig& config, const Rehearsal& rehearsal) {
  remove_old();
  replace_file(file_of(session, config), to_json(rehearsal), kTag);
}

Rehearsal kept_or_new(ModelSession& session, const RunQuestion& run) {
  if (auto rehearsal = kept(session, run)) return *std::move(rehearsal);
  Rehearsal rehearsal = rehearse(session, {length_ns(session, run), folder(), {}});
  keep(session, run.config, rehearsal);
  return rehearsal;
}

}  // namespace

std::optional<Rehearsal> kept_rehearsal(ModelSession& session, const RunQuestion& run) {
  try {
    auto rehearsal = kept(session, run);
    if (rehearsal) warm_up(session);
    return rehearsal;
  } catch (const InternalError&) {
    throw;
  } catch (const std::exception&) {  // the training meets it, and knows what to do
    return std::nullopt;
  }
}

std::optional<Rehearsal> rehearsed(ModelSession& session, const RunQuestion& run) {
  try {
    Rehearsal rehearsal = kept_or_new(session, run);
    warn_of_noise(rehearsal);
    return rehearsal;
  } catch (const InternalError&) {
    throw;
  } catch (const std::exception& error) {
    log_warning(kTag, fmt::format("the plan is not tried before the estimate: {}", error.what()));
    return std::nullopt;
  }
}

void keep_shown(const ModelSession& session, const RunConfig& config, const Rehearsal& shown) {
  try {
    keep(session, config, shown);
  } catch (const ResourceError& error) {  // the run is none the worse for it
    log_debug(kTag, error.what());
  }
}

}  // namespace millrace::cli
