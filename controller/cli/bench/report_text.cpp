// The report's two forms: a JSON document and a table.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/cli/bench/report.hpp"
#include "controller/cli/output.hpp"
#include "millrace/topology.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

struct Summary {
  double middle, least, most;
  std::int64_t peak_rss_bytes;
};

Summary summarise(const BenchEntry& entry) {
  std::vector<double> speeds;
  std::int64_t peak = 0;
  for (const EntryRound& round : entry.rounds) {
    speeds.push_back(round.images_per_second);
    peak = std::max(peak, round.peak_rss_bytes);
  }
  const auto [least, most] = std::minmax_element(speeds.begin(), speeds.end());
  return {median(speeds), *least, *most, peak};
}

MatrixRate middle_rate(const BenchReport& report) {
  std::vector<double> one, all;
  for (const MatrixRate& rate : report.matrix_rates) {
    one.push_back(rate.one_core);
    all.push_back(rate.all_cores);
  }
  return {median(one), median(all)};
}

Json entry_json(const BenchEntry& entry) {
  Json json = {{"name", entry.name}, {"images_per_second", nullptr}, {"peak_rss_bytes", nullptr}};
  if (!entry.rounds.empty()) {
    const Summary summary = summarise(entry);
    json["images_per_second"] = {
        {"median", summary.middle}, {"min", summary.least}, {"max", summary.most}};
    json["peak_rss_bytes"] = summary.peak_rss_bytes;
  }
  if (!entry.note.empty()) json["note"] = entry.note;
  return json;
}

Json estimate_json(const BenchReport& report) {
  const auto summary = estimate_summary(report);
  if (!summary) return nullptr;
  return {{"predicted_ns", summary->mean.predicted_ns},
          {"expected_ns", summary->mean.expected_ns},
          {"latest_ns", summary->mean.latest_ns},
          {"measured_ns", summary->mean.measured_ns},
          {"error_percent", summary->error_percent},
          {"predicted_error_percent", summary->predicted_error_percent},
          {"noise_percent", summary->mean.noise_percent}};
}

std::string entry_row(const BenchEntry& entry) {
  if (entry.rounds.empty()) return fmt::format("{:<20} not measured: {}\n", entry.name, entry.note);
  const Summary summary = summarise(entry);
  return fmt::format("{:<20} {:>8.1f} {:>8.1f} .. {:<8.1f} {:>10}  {}\n", entry.name,
                     summary.middle, summary.least, summary.most,
                     format_bytes(static_cast<double>(summary.peak_rss_bytes)), entry.note);
}

std::string ratio_rows(const BenchReport& report) {
  const BenchRatios own = ratios(report);
  std::string text;
  const auto add = [&](const char* name, const std::optional<double>& value, const char* unit) {
    if (value) text += fmt::format("{:<42} {:.3g}{}\n", name, *value, unit);
  };
  add("training time less than one core's by", own.reduction_percent, " %");
  add("speed over LibTorch", own.speedup_over_libtorch, " x");
  add("speed over LibTorch tuned", own.speedup_over_libtorch_tuned, " x");
  add("share of the matrix rate's roof", own.roof_fraction, "");
  return text;
}

}  // namespace

std::string to_json(const BenchReport& report) {
  const MatrixRate rate = middle_rate(report);
  const BenchRatios own = ratios(report);
  Json json = {{"model", report.model},
               {"batch", report.batch},
               {"rounds", report.matrix_rates.size()},
               {"cpus", report.cpus},
               {"matrix_rate",
                {{"one_core_flops_per_second", rate.one_core},
                 {"all_cores_flops_per_second", rate.all_cores}}},
               {"flops_per_image", report.flops_per_image},
               {"roof_images_per_second", rate.all_cores / report.flops_per_image},
               {"entries", Json::array()},
               {"reduction_percent", or_null(own.reduction_percent)},
               {"speedup_over_libtorch", or_null(own.speedup_over_libtorch)},
               {"speedup_over_libtorch_tuned", or_null(own.speedup_over_libtorch_tuned)},
               {"roof_fraction", or_null(own.roof_fraction)},
               {"estimate", estimate_json(report)}};
  for (const BenchEntry& entry : report.entries) json["entries"].push_back(entry_json(entry));
  return json_text(json);
}

std::string to_table(const BenchReport& report) {
  const MatrixRate rate = middle_rate(report);
  std::string text = fmt::format(
      "{}, batch {}, CPUs {}, {} round{}\n"
      "matrix products: {:.1f} GFLOP/s on one core, {:.1f} on all\n"
      "by direct convolution at most {:.1f} img/s: {:.4g} MFLOP an image\n\n"
      "{:<20} {:>8} {:>8} .. {:<8} {:>10}\n",
      report.model, report.batch, format_cpu_list(report.cpus), report.matrix_rates.size(),
      report.matrix_rates.size() == 1 ? "" : "s", rate.one_core / 1e9, rate.all_cores / 1e9,
      rate.all_cores / report.flops_per_image, report.flops_per_image / 1e6, "entry", "img/s",
      "least", "most", "memory");
  for (const BenchEntry& entry : report.entries) text += entry_row(entry);
  text += "\n" + ratio_rows(report);
  if (const auto estimate = estimate_summary(report)) {
    text += fmt::format(
        "estimated {} (latest {}), measured {}: {:.1f} % off\n"
        "by the layers' costs alone, before the plan was tried: {}, {:.1f} % off\n"
        "this machine's noise, a loop without a network foretold by 2 s right before: {:.1f} % "
        "off\n",
        format_duration(estimate->mean.expected_ns), format_duration(estimate->mean.latest_ns),
        format_duration(estimate->mean.measured_ns), estimate->error_percent,
        format_duration(estimate->mean.predicted_ns), estimate->predicted_error_percent,
        estimate->mean.noise_percent);
  }
  return text;
}

}  // namespace millrace::cli
