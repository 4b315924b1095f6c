#include "controller/cli/bench/layers.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "millrace/errors.hpp"
#include "millrace/topology.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

using Json = nlohmann::ordered_json;

/// A layer's passes, without times.
std::vector<PassFigures> passes_of(const LayerCosts& costs, const LayerWork& work,
                                   const std::string& kind, double n, bool first) {
  const auto named = costs.implementation.find(kind);
  const std::string implementation = named == costs.implementation.end() ? "" : named->second;
  const double x = n * work.input_bytes, y = n * work.output_bytes, w = costs.weights_bytes;
  const bool deferred = costs.deferred_bytes > 0;  // the update makes the gradient and applies it
  const double dw = deferred ? 0 : w;
  // Without weights nothing but the gradient passes by; with them x is read for dw, w for dx.
  const bool makes_dw = w > 0 && !deferred;
  const double backward = (first && w == 0 ? 0 : y) + (first ? 0 : x + w) + (makes_dw ? x + dw : 0);
  const double update = w > 0 ? 4 * w + dw + (deferred ? x + y : 0) : 0;
  // Of the backward arithmetic a deferred gradient's half is the update's.
  const double update_flops = deferred ? n * work.forward_flops : 0;
  const auto pass = [&](const char* name, double flops, double bytes) {
    return PassFigures{costs.name, costs.type, implementation, name, 0, {}, flops, bytes};
  };
  return {pass("forward", n * work.forward_flops, x + y + w),
          pass("backward", n * work.backward_flops - update_flops, backward),
          pass("update", update_flops, update)};
}

std::optional<double> by_threads(const Profile& profile, const LayerCosts& costs, bool forward,
                                 const std::string& kind, int width, double n) {
  if (!costs.threads_ns) return {};
  const auto& pass = forward ? costs.threads_ns->forward : costs.threads_ns->backward;
  const auto by_width = pass.find(kind);
  if (by_width == pass.end()) return {};
  const auto curve = by_width->second.find(width);
  if (curve == by_width->second.end()) return {};
  return interpolate_ns(profile.samples, curve->second, n);
}

double step_ns(const LayersReport& report) {
  double sum = 0;
  for (const PassFigures& pass : report.passes) sum += pass.one_core_ns;
  return sum;
}

Json pass_json(const PassFigures& pass) {
  return {{"layer", pass.layer},
          {"type", pass.type},
          {"implementation", pass.implementation},
          {"pass", pass.pass},
          {"one_core_ns", pass.one_core_ns},
          {"all_cores_ns", pass.all_cores_ns ? Json(*pass.all_cores_ns) : Json(nullptr)},
          {"flops", pass.flops},
          {"bytes", pass.bytes}};
}

/// "51.2 ms  98 %", the share of the rate where there is arithmetic.
std::string time_and_share(double ns, double flops, double rate) {
  const std::string share =
      flops > 0 ? fmt::format("{:.0f} %", 100 * flops / (ns / 1e9) / rate) : "";
  return fmt::format("{:>9} {:>6}", format_duration(ns), share);
}

std::string row(const PassFigures& pass, const MatrixRate& rate) {
  const std::string all =
      pass.all_cores_ns ? time_and_share(*pass.all_cores_ns, pass.flops, rate.all_cores) : "";
  return fmt::format("{:<14} {:<9} {:<21} {} {:>16} {:>10} {:>6.1f}\n", pass.layer, pass.pass,
                     pass.implementation,
                     time_and_share(pass.one_core_ns, pass.flops, rate.one_core), all,
                     format_bytes(pass.bytes), pass.bytes / pass.one_core_ns);
}

}  // namespace

std::vector<PassFigures> pass_figures(const Profile& profile, const std::vector<LayerWork>& work,
                                      const std::string& kind, int width, std::int64_t batch) {
  MILLRACE_CHECK(work.size() == profile.layers.size(), "bench", "one work for every layer");
  const auto n = static_cast<double>(batch);
  bool learns = false;  // some layer before has weights
  std::vector<PassFigures> all;
  for (std::size_t l = 0; l < work.size(); ++l) {
    const LayerCosts& costs = profile.layers[l];
    MILLRACE_CHECK(work[l].name == costs.name, "bench", "the work is of this layer");
    auto passes = passes_of(costs, work[l], kind, n, !learns);
    learns = learns || costs.weights_bytes > 0;
    passes[0].one_core_ns = interpolate_ns(profile.samples, costs.forward_ns.at(kind), n);
    passes[0].all_cores_ns = by_threads(profile, costs, true, kind, width, n);
    passes[1].one_core_ns = interpolate_ns(profile.samples, costs.backward_ns.at(kind), n);
    passes[1].all_cores_ns = by_threads(profile, costs, false, kind, width, n);
    passes[2].one_core_ns = costs.update_ns.at(kind);
    all.insert(all.end(), passes.begin(), passes.end());
  }
  return all;
}

std::string to_json(const LayersReport& report) {
  Json json = {{"model", report.model},
               {"batch", report.batch},
               {"kind", report.kind},
               {"cpus", report.cpus},
               {"matrix_rate",
                {{"one_core_flops_per_second", report.rate.one_core},
                 {"all_cores_flops_per_second", report.rate.all_cores}}},
               {"passes", Json::array()}};
  for (const PassFigures& pass : report.passes) json["passes"].push_back(pass_json(pass));
  return json_text(json);
}

std::string to_table(const LayersReport& report) {
  std::string text = fmt::format(
      "{}, batch {}, a core of kind {}, all CPUs {}\n"
      "matrix products: {:.1f} GFLOP/s on one core, {:.1f} on all; shares are of direct "
      "arithmetic\n\n"
      "{:<14} {:<9} {:<21} {:>9} {:>6} {:>16} {:>10} {:>6}\n",
      report.model, report.batch, report.kind, format_cpu_list(report.cpus),
      report.rate.one_core / 1e9, report.rate.all_cores / 1e9, "layer", "pass", "implementation",
      "one core", "", "all cores", "bytes", "GB/s");
  const double step = step_ns(report);
  for (const PassFigures& pass : report.passes)
    if (pass.one_core_ns >= step / 1000) text += row(pass, report.rate);
  return text + fmt::format("\na step on one core: {}\n", format_duration(step));
}

}  // namespace millrace::cli
