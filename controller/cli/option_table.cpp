#include "controller/cli/option_table.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/cli/planning.hpp"
#include "controller/deadline.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

Json plan_json(const Plan& plan) {
  Json workers = Json::array();
  for (const PlanStage& stage : plan.stages) workers.push_back(stage.devices.size());
  return {{"schedule", plan.schedule},
          {"micro_batch", plan.micro_batch},
          {"micro_batches", plan.micro_batches},
          {"stage_cores", workers}};
}

Json time_json(const TimeEstimate& time) {
  return {{"expected_ns", time.expected_ns}, {"latest_ns", time.latest_ns}};
}

Json row_json(const OptionTable& table, std::size_t i) {
  const PlanOption& option = table.options[i];
  Json row = {{"cores", option.cores}, {"batch", option.batch}};
  if (!option.plan) {
    row["why_not"] = option.why_not;
    return row;
  }
  row["plan"] = plan_json(*option.plan);
  row["step"] = time_json(option.estimate.step);
  row["run"] = time_json(option.estimate.run);
  row["images_per_second"] = option.estimate.images_per_second;
  row["memory_bytes"] = option.plan->memory_bytes;
  row["efficiency_percent"] =
      option.efficiency_percent ? Json(*option.efficiency_percent) : Json(nullptr);
  if (table.deadline) {
    row["in_time"] = option.estimate.run.latest_ns <= table.deadline->left_ns;
    row["chosen"] = i == table.deadline->chosen;
  }
  return row;
}

std::string line_of(const OptionTable& table, std::size_t i) {
  const PlanOption& option = table.options[i];
  const bool chosen = table.deadline && table.deadline->chosen == i;
  std::string line = fmt::format("{} {:>5} {:>6}", chosen ? '*' : ' ', option.cores, option.batch);
  if (!option.plan) return line + "  no plan: " + option.why_not;
  const std::string efficiency =
      option.efficiency_percent ? fmt::format("{:.0f} %", *option.efficiency_percent) : "-";
  return line + fmt::format(" {:>10} {:>12} {:>12} {:>9} {:>9.1f} {:>10}  {}",
                            format_duration(option.estimate.step.expected_ns),
                            format_duration(option.estimate.run.expected_ns),
                            format_duration(option.estimate.run.latest_ns),
                            format_bytes(static_cast<double>(option.plan->memory_bytes)),
                            option.estimate.images_per_second, efficiency, form_of(*option.plan));
}

}  // namespace

nlohmann::ordered_json json_of(const OptionTable& table) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < table.options.size(); ++i) rows.push_back(row_json(table, i));
  Json deadline;
  if (table.deadline)
    deadline = {{"at", deadline_in_utc(table.deadline->at)}, {"left_ns", table.deadline->left_ns}};
  return {{"model", table.model},
          {"board", table.board.empty() ? Json(nullptr) : Json(table.board)},
          {"times_are_scaled", !table.board.empty()},
          {"confidence", Estimate().confidence},
          {"deadline", deadline},
          {"rows", rows}};
}

std::string text_of(const OptionTable& table) {
  std::string text =
      fmt::format("  {:>5} {:>6} {:>10} {:>12} {:>12} {:>9} {:>9} {:>10}  {}\n", "cores", "batch",
                  "step", "run", "latest", "memory", rate_unit(table.model), "efficiency", "plan");
  for (std::size_t i = 0; i < table.options.size(); ++i) text += line_of(table, i) + "\n";
  text += fmt::format("latest: with {:g} % confidence; efficiency: of the cores, against one alone",
                      100 * Estimate().confidence);
  if (table.deadline)
    text +=
        fmt::format("\n* the fewest cores whose latest time is before the deadline, {} (in {})",
                    deadline_text(table.deadline->at), format_duration(table.deadline->left_ns));
  if (!table.board.empty())
    text += fmt::format(
        "\nAll times are this machine's, scaled by the speeds of {}'s cores; none was "
        "measured there.",
        table.board);
  return text;
}

void require_some_plan(const std::vector<PlanOption>& options) {
  if (!fastest_option(options)) throw NoPlanError("plan", options.back().why_not);
}

OptionDeadline choose_for_deadline(const std::vector<PlanOption>& options, std::int64_t at,
                                   double left_ns) {
  require_some_plan(options);
  if (const auto chosen = fewest_cores_in_time(options, left_ns)) return {at, left_ns, *chosen};
  const PlanOption& fastest = options[*fastest_option(options)];
  throw NoPlanError(
      "deadline",
      fmt::format(
          "no plan is sure to be done by {}, in {}: the fastest, with {} core{} and a batch "
          "of {}, takes {} (latest {}): give a later --deadline, a shorter run, or more "
          "cores",
          deadline_text(at), format_duration(left_ns), fastest.cores, fastest.cores == 1 ? "" : "s",
          fastest.batch, format_duration(fastest.estimate.run.expected_ns),
          format_duration(fastest.estimate.run.latest_ns)));
}

}  // namespace millrace::cli
