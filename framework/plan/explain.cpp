// A plan as text for people: at most 100 columns.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "framework/plan/plan_text.hpp"
#include "millrace/plan.hpp"
#include "millrace/schedule.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

constexpr std::size_t kMostColumns = 100;
constexpr std::size_t kTextColumns = 88;  // beside the margin
constexpr int kTimelineColumns = 80;
constexpr std::size_t kLaneName = 9;

std::string shorten(const std::string& text, std::size_t columns) {
  if (text.size() <= columns) return text;
  return text.substr(0, columns - 3) + "...";
}

std::string layer_range(const std::vector<std::string>& layers) {
  if (layers.size() == 1) return shorten(layers.front(), kTextColumns);
  constexpr std::size_t kName = 32;
  return fmt::format("{} .. {} ({} layers)", shorten(layers.front(), kName),
                     shorten(layers.back(), kName), layers.size());
}

/// "0-2,5" for 0, 1, 2, 5.
std::string number_ranges(std::vector<int> numbers) {
  std::sort(numbers.begin(), numbers.end());
  std::vector<std::string> ranges;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    ranges.push_back(end - i == 1 ? std::to_string(numbers[i])
                                  : fmt::format("{}-{}", numbers[i], numbers[end - 1]));
    i = end;
  }
  return fmt::format("{}", fmt::join(ranges, ","));
}

std::string device_text(const PlanStage& stage) {
  std::vector<std::string> kinds;  // in the order of their first device
  std::map<std::string, std::vector<int>> cpus;
  for (const auto& device : stage.devices) {
    if (!cpus.contains(device.kind)) kinds.push_back(device.kind);
    cpus[device.kind].push_back(device.cpu);
  }
  std::vector<std::string> parts;
  for (const auto& kind : kinds) parts.push_back(kind + " " + number_ranges(cpus[kind]));
  return fmt::format("{}", fmt::join(parts, " + "));
}

/// "4 x 13 + 48": of more than two that follow each other and are the same, how many.
std::string sum_text(const std::vector<std::string>& values) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < values.size();) {
    std::size_t end = i + 1;
    while (end < values.size() && values[end] == values[i]) ++end;
    if (end - i > 2)
      parts.push_back(fmt::format("{} x {}", end - i, values[i]));
    else
      parts.insert(parts.end(), end - i, values[i]);
    i = end;
  }
  return fmt::format("{}", fmt::join(parts, " + "));
}

template <typename Share>
std::string shares_text(const std::vector<Share>& shares, double factor) {
  std::vector<std::string> values;
  for (const Share share : shares) values.push_back(fmt::format("{:.0f}", factor * double(share)));
  return sum_text(values);
}

std::string split_text(const PlanStage& stage) {
  if (stage.devices.size() == 1) return "";
  if (stage.split == Split::threads) {
    return fmt::format(", {} x {} threads", stage.workers(), stage.threads_each());
  }
  if (stage.split == Split::features && stage.feature_shares.empty())
    return fmt::format(", features of {} divided", layer_range(stage.feature_layers));
  return ", samples " + shares_text(stage.shares, 1);
}

/// Of devices of several kinds.
std::string features_text(const PlanStage& stage) {
  if (stage.feature_shares.empty()) return "";
  return fmt::format("features {} % of {}", shares_text(stage.feature_shares, 100),
                     layer_range(stage.feature_layers));
}

std::string stage_text(const PlanStage& stage, std::size_t s) {
  std::string text = fmt::format("  stage {:<2} {}\n", s, layer_range(stage.layers));
  const auto add = [&](const std::string& line) {
    if (!line.empty()) text += fmt::format("           {}\n", shorten(line, kTextColumns));
  };
  add("on " + device_text(stage) + split_text(stage));
  add(features_text(stage));
  const std::string weights =
      stage.weight_gradient_ns > 0 ? " + " + format_duration(stage.weight_gradient_ns) : "";
  text +=
      fmt::format("           forward {}, backward {}{}, update {}, memory {}{}\n",
                  format_duration(stage.forward_ns), format_duration(stage.backward_ns), weights,
                  format_duration(stage.update_ns), format_bytes(double(stage.memory_bytes)),
                  stage.recompute.size() == stage.layers.size() ? ", recomputed" : "");
  if (!stage.recompute.empty() && stage.recompute.size() < stage.layers.size())
    text += fmt::format("           {} of {} layers recomputed\n", stage.recompute.size(),
                        stage.layers.size());
  return text;
}

char mark(const Action& action) {
  const char letter = static_cast<char>(action.kind);
  return has_micro_batch(action.kind) && action.micro_batch % 2 == 1
             ? static_cast<char>(letter + ('a' - 'A'))
             : letter;
}

/// The action that runs in the middle of each column.
void draw(const std::vector<Span>& spans, double column_ns, std::string& row) {
  for (const Span& span : spans) {
    const int begin = static_cast<int>(std::ceil(span.begin_ns / column_ns - 0.5));
    const int end = static_cast<int>(std::ceil(span.end_ns / column_ns - 0.5));
    for (int c = std::max(0, begin); c < std::min(end, kTimelineColumns); ++c) {
      row[static_cast<std::size_t>(c)] = mark(span.action);
    }
  }
}

std::string timeline_text(const Plan& plan, const Profile& profile) {
  const Schedule schedule =
      make_schedule(plan.schedule, lanes_of(plan), static_cast<int>(plan.micro_batches));
  const Timeline timeline = simulate(schedule, predicted_times(plan, profile, plan.batch));
  const double column_ns = timeline.makespan_ns / kTimelineColumns;
  if (!(column_ns > 0)) return "";
  const char* weights =
      schedule.splits_backward() ? ", W weights (small: odd)" : " (small: odd micro-batches)";
  std::string text =
      fmt::format("One step, {} per column: F forward, B backward{}, R reduce, U update\n",
                  format_duration(column_ns), weights);
  std::vector<std::string> rows, names;  // by lane
  for (int s = 0; s < schedule.stages(); ++s) {
    const auto lane = static_cast<std::size_t>(schedule.lanes[static_cast<std::size_t>(s)]);
    if (lane == rows.size()) {
      rows.emplace_back(kTimelineColumns, '.');
      names.emplace_back();
    }
    names[lane] += (names[lane].empty() ? "" : ",") + std::to_string(s);
    draw(timeline.stages[static_cast<std::size_t>(s)], column_ns, rows[lane]);
  }
  std::size_t width = 2;
  for (std::string& name : names) {
    name = shorten(name, kLaneName);
    width = std::max(width, name.size());
  }
  for (std::size_t lane = 0; lane < rows.size(); ++lane)
    text += fmt::format("  stage {:<{}} |{}|\n", names[lane], width, rows[lane]);
  return text;
}

std::string head_text(const Plan& plan) {
  constexpr std::size_t kName = 32, kLeastName = 8;
  const std::string form = fmt::format(": batch {} = {}, schedule {}\n", plan.batch,
                                       micro_batches_text(plan), plan.schedule);
  std::string text = "Plan for ";
  const std::size_t taken = text.size() + form.size();
  text += shorten(plan.model,
                  std::clamp(kMostColumns - std::min(kMostColumns, taken), kLeastName, kName)) +
          form;
  const bool period = plan.objective == Objective::period;
  text += fmt::format("  predicted {} per {}, {}, memory {}\n", format_duration(plan.value_ns),
                      period ? "micro-batch" : "step",
                      plan.optimal ? "proved optimal for these costs"
                                   : "lower bound " + format_duration(plan.bound_ns),
                      format_bytes(double(plan.memory_bytes)));
  return text;
}

std::string search_text(const SearchReport& search) {
  return fmt::format("  search: {} plans and {} parts of plans weighed, {} cuts, {}{}\n",
                     search.candidates, search.states, search.ideals,
                     search.seconds > 0 ? format_duration(search.seconds * 1e9) + ", " : "",
                     format_bytes(double(search.peak_bytes)));
}

std::string alternatives_text(const Plan& plan) {
  std::string text = plan.alternatives.empty() ? "" : "Alternatives\n";
  for (const auto& alternative : plan.alternatives) {
    const std::string value =
        alternative.value_ns ? format_duration(*alternative.value_ns) : "not possible";
    text += fmt::format("  {:<20} {:>12}  {}\n", shorten(alternative.name, 20), value,
                        shorten(alternative.why_not, 62));
  }
  return text;
}

}  // namespace

std::string micro_batches_text(const Plan& plan) {
  if (plan.micro_batches == 1) return fmt::format("1 micro-batch of {}", plan.micro_batch);
  const std::int64_t last = samples_in(plan, plan.micro_batches - 1);
  return fmt::format("{} micro-batches of {}{}", plan.micro_batches, plan.micro_batch,
                     last == plan.micro_batch ? "" : fmt::format(", the last of {}", last));
}

std::string explain(const Plan& plan, const Profile& profile) {
  std::string text = head_text(plan) + search_text(plan.search);
  for (std::size_t s = 0; s < plan.stages.size(); ++s) text += stage_text(plan.stages[s], s);
  return text + timeline_text(plan, profile) + alternatives_text(plan);
}

}  // namespace millrace
