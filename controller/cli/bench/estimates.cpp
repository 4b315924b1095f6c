#include "controller/cli/bench/estimates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "controller/cli/bench/noise.hpp"
#include "controller/cli/output.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

/// What is asked of the search: a name and flags.
struct Request {
  std::string name;
  std::vector<std::string> flags;
};

constexpr const char* kOneCore = "one core";

std::vector<Request> requests(std::int64_t batch, const std::string& first_cpu) {
  const std::string quarter = std::to_string((batch + 3) / 4);
  return {{"the best", {}},
          {kOneCore, {"--cores", first_cpu}},
          {"no replicas", {"--max-replicas", "1"}},
          {"four micro-batches", {"--micro-batch", quarter}},
          {"recomputed", {"--recompute", "all"}}};
}

std::vector<std::string> joined(std::vector<std::string> flags, std::vector<std::string> more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

EstimateRow measure(const Trainings& trainings, const Request& request, EstimateRow row,
                    const EstimatedCores& cores, double seconds) {
  const std::int64_t batch = row.batch;
  const auto flags = joined({"--batch", std::to_string(batch)}, request.flags);
  const Json foretold = trainings.json_of(trainings.estimate(joined(flags, {"--steps", "1"})));
  const double step_ns = foretold.at("step").at("expected_ns");
  row.steps = std::max<std::int64_t>(5, std::llround(seconds * 1e9 / step_ns));
  const auto run = joined(flags, {"--steps", std::to_string(row.steps), "--replan", "never",
                                  "--set", "checkpoint.every_steps=0"});
  trainings.json_of(trainings.estimate(run));  // tries the plan: the training promises by it
  const std::vector<int> cpus =
      request.name == kOneCore ? std::vector<int>{cores.first_cpu} : cores.cpus;
  const std::vector<double> tried_loop = loop_steps_ns(cpus, kTriedSeconds);
  const Json trained = trainings.json_of(trainings.train("run", joined(run, {"--force"})));
  const Json& estimate = trained.at("estimate");
  row.expected_ns = estimate.at("first_expected_ns");
  row.latest_ns = estimate.at("first_latest_ns");
  row.measured_ns = estimate.at("measured_ns");
  row.noise_percent = foretelling_error_percent(tried_loop, loop_steps_ns(cpus, seconds));
  return row;
}

Json json_of(const EstimateRow& row) {
  Json json = {{"model", row.model}, {"batch", row.batch}, {"plan", row.plan}};
  if (!row.note.empty()) {
    json["note"] = row.note;
    return json;
  }
  json.update({{"steps", row.steps},
               {"expected_ns", row.expected_ns},
               {"latest_ns", row.latest_ns},
               {"measured_ns", row.measured_ns},
               {"error_percent", row.error_percent()},
               {"noise_percent", row.noise_percent},
               {"kept", row.kept()}});
  return json;
}

std::string text_of(const EstimateRow& row) {
  const std::string what = fmt::format("{:<12}{:>6}  {:<18}", row.model, row.batch, row.plan);
  if (!row.note.empty()) return fmt::format("{}  {}", what, row.note);
  return fmt::format("{} {:>7} {:>10} {:>10} {:>10} {:>7.1f} % {:>7.1f} %  {}", what, row.steps,
                     format_duration(row.expected_ns), format_duration(row.latest_ns),
                     format_duration(row.measured_ns), row.error_percent(), row.noise_percent,
                     row.kept() ? "kept" : "later");
}

}  // namespace

double EstimateRow::error_percent() const {
  return 100 * std::abs(expected_ns - measured_ns) / measured_ns;
}

EstimatesSummary summary_of(const EstimatesReport& report) {
  EstimatesSummary sum;
  for (const EstimateRow& row : report.rows) {
    if (!row.note.empty()) continue;
    ++sum.trained;
    sum.kept += row.kept() ? 1 : 0;
    sum.mean_error_percent += row.error_percent();
    sum.mean_noise_percent += row.noise_percent;
    sum.latest_above_percent += 100 * (row.latest_ns / row.expected_ns - 1);
    sum.largest_error_percent = std::max(sum.largest_error_percent, row.error_percent());
    sum.largest_noise_percent = std::max(sum.largest_noise_percent, row.noise_percent);
  }
  for (double* mean : {&sum.mean_error_percent, &sum.mean_noise_percent, &sum.latest_above_percent})
    *mean /= std::max(1, sum.trained);
  return sum;
}

void measure_estimates(const Trainings& trainings, const RunConfig& config,
                       const EstimatedCores& cores, double seconds, EstimatesReport& report) {
  for (const std::int64_t batch : {config.batch, std::max<std::int64_t>(1, config.batch / 2)}) {
    for (const Request& request : requests(batch, std::to_string(cores.first_cpu))) {
      EstimateRow row{config.model, batch, request.name};
      try {
        report.rows.push_back(measure(trainings, request, row, cores, seconds));
      } catch (const Error& refused) {
        if (refused.code() != ExitCode::user && refused.code() != ExitCode::no_plan) throw;
        row.note = "not possible, see above";
        report.rows.push_back(row);
      }
      log_info("bench", text_of(report.rows.back()));
    }
  }
}

std::string to_json(const EstimatesReport& report) {
  const EstimatesSummary summary = summary_of(report);
  Json json = {{"trained", summary.trained},
               {"kept", summary.kept},
               {"mean_error_percent", summary.mean_error_percent},
               {"largest_error_percent", summary.largest_error_percent},
               {"latest_above_percent", summary.latest_above_percent},
               {"mean_noise_percent", summary.mean_noise_percent},
               {"largest_noise_percent", summary.largest_noise_percent},
               {"trainings", Json::array()}};
  for (const EstimateRow& row : report.rows) json["trainings"].push_back(json_of(row));
  return json_text(json);
}

std::string to_table(const EstimatesReport& report) {
  std::string text =
      fmt::format("{:<12}{:>6}  {:<18} {:>7} {:>10} {:>10} {:>10} {:>9} {:>9}\n", "model", "batch",
                  "plan", "steps", "expected", "latest", "measured", "error", "noise");
  for (const EstimateRow& row : report.rows) text += text_of(row) + "\n";
  const EstimatesSummary summary = summary_of(report);
  return text +
         fmt::format(
             "\nmean error {:.1f} %, largest {:.1f} %; the latest time, {:.1f} % above the "
             "expected one, was kept by {} of {}\na loop without Millrace, foretold in the same "
             "way: mean error {:.1f} %, largest {:.1f} %\n",
             summary.mean_error_percent, summary.largest_error_percent,
             summary.latest_above_percent, summary.kept, summary.trained,
             summary.mean_noise_percent, summary.largest_noise_percent);
}

}  // namespace millrace::cli
