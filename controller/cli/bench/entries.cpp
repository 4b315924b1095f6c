#include "controller/cli/bench/entries.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "controller/cli/bench/noise.hpp"
#include "controller/cli/install_paths.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;

constexpr double kTargetFlops = 1.06e12;  // four steps of AlexNet at 64 images

std::vector<std::string> command_of(const BenchSetup& setup, const std::string& program,
                                    std::vector<std::string> more) {
  std::vector<std::string> command = {(libexec_folder() / program).string(),
                                      "--model",
                                      setup.model,
                                      "--batch",
                                      std::to_string(setup.batch),
                                      "--classes",
                                      std::to_string(setup.classes)};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::vector<std::string> step_flags(int warmup, int steps) {
  return {"--warmup", std::to_string(warmup), "--steps", std::to_string(steps)};
}

/// The one JSON line that a bench program prints.
nlohmann::json measured(const ProcessSpec& spec, std::int64_t* peak_rss_bytes = nullptr) {
  if (!fs::exists(spec.command.front())) {
    throw ConfigError("build", "this build has no benchmark programs (" + spec.command.front() +
                                   " is missing): build with -DMILLRACE_BENCH=ON");
  }
  const ProcessResult result = run_process(spec);
  if (peak_rss_bytes != nullptr) *peak_rss_bytes = result.peak_rss_bytes;
  auto json = nlohmann::json::parse(result.output, nullptr, false);
  if (json.is_discarded()) {
    throw InternalError("bench", spec.command.front() + " printed '" + result.output + "'");
  }
  return json;
}

ProcessSpec libtorch_spec(const BenchSetup& setup, bool one_core, const std::string& layout,
                          int warmup, int steps) {
  ProcessSpec spec;
  spec.cpus = one_core ? std::vector<int>{setup.first_cpu} : setup.cpus;
  spec.command = command_of(setup, "bench_libtorch",
                            {"--layout", layout, "--threads", std::to_string(spec.cpus.size())});
  for (const std::string& flag : step_flags(warmup, steps)) spec.command.push_back(flag);
  if (one_core) spec.environment = {{"OMP_NUM_THREADS", "1"}, {"OPENBLAS_NUM_THREADS", "1"}};
  return spec;
}

ProcessSpec spec_of(const BenchSetup& setup, const std::string& entry) {
  if (entry == "one core") {
    return libtorch_spec(setup, true, setup.layout_one_core, setup.warmup, setup.steps);
  }
  if (entry.starts_with("libtorch")) {
    auto spec = libtorch_spec(setup, false, setup.layout_all_cores, setup.warmup, setup.steps);
    if (entry == "libtorch tuned") {
      const auto libraries = find_tuned_libraries();
      spec.environment = {{"LD_PRELOAD", libraries->tcmalloc.string()},
                          {"LD_LIBRARY_PATH", libraries->openblas_folder.string()}};
    }
    return spec;
  }
  ProcessSpec spec;
  spec.command = command_of(
      setup, "bench_plan",
      {"--cores", format_cpu_list(setup.cpus), "--plan", plan_file(setup, entry).string(),
       "--costs", (setup.folder / "costs.json").string()});
  for (const std::string& flag : step_flags(setup.warmup, setup.steps))
    spec.command.push_back(flag);
  return spec;
}

}  // namespace

std::optional<TunedLibraries> find_tuned_libraries() {
  for (const fs::path folder : {"/usr/lib/" MILLRACE_LIBRARY_ARCH, "/usr/lib", "/usr/lib64"}) {
    const TunedLibraries found{folder / "libtcmalloc_minimal.so.4", folder / "openblas-openmp"};
    if (fs::exists(found.tcmalloc) && fs::exists(found.openblas_folder)) return found;
  }
  return {};
}

int default_steps(double flops_per_step) {
  return static_cast<int>(std::clamp(std::round(kTargetFlops / flops_per_step), 4.0, 200.0));
}

ModelWork prepare_costs(const BenchSetup& setup, bool costs) {
  ProcessSpec spec;
  spec.command = command_of(
      setup, "bench_costs",
      {"--cores", format_cpu_list(setup.cpus), "--folder", costs ? setup.folder.string() : "none",
       "--algorithms", setup.algorithms == Algorithms::direct ? "direct" : "all", "--precision",
       setup.precision == Precision::bf16 ? "bf16" : "fp32", "--quiet",
       verbosity() == Verbosity::quiet ? "yes" : "no"});
  const auto json = measured(spec);
  ModelWork work{json.at("flops_per_image").get<double>(), {}};
  for (const auto& layer : json.at("layers")) {
    const auto number = [&](const char* field) { return layer.at(field).get<double>(); };
    work.layers.push_back({layer.at("name").get<std::string>(), number("forward_flops"),
                           number("backward_flops"), number("input_bytes"),
                           number("output_bytes")});
  }
  return work;
}

std::string faster_layout(const BenchSetup& setup, bool one_core) {
  const auto speed = [&](const std::string& layout) {
    const int steps = std::max(setup.steps / 10, 1);  // one of a small network says too little
    return measured(libtorch_spec(setup, one_core, layout, steps, steps))
        .at("images_per_second")
        .get<double>();
  };
  return speed("nhwc") > speed("nchw") ? "nhwc" : "nchw";
}

MatrixRate measure_matrix_rate(const BenchSetup& setup) {
  ProcessSpec spec;
  spec.command = {(libexec_folder() / "bench_matrix_rate").string(), "--first",
                  std::to_string(setup.first_cpu), "--cpus", format_cpu_list(setup.cpus)};
  for (const std::string& flag : step_flags(2, 10)) spec.command.push_back(flag);
  const auto json = measured(spec);
  return {json.at("one_core_flops_per_second").get<double>(),
          json.at("all_cores_flops_per_second").get<double>()};
}

DispatchReport measure_dispatch(const BenchSetup& setup) {
  ProcessSpec spec;
  spec.command = {(libexec_folder() / "bench_dispatch").string(), "--cpus",
                  format_cpu_list(setup.cpus)};
  for (const std::string& flag : step_flags(100, 2000)) spec.command.push_back(flag);
  const auto json = measured(spec);
  DispatchReport report{setup.cpus, {}};
  for (const auto& row : json.at("rows")) {
    report.rows.push_back({row.at("name").get<std::string>(),
                           row.at("tasks").get<std::int64_t>(),
                           row.at("median_ns").get<double>(),
                           row.at("p99_ns").get<double>(),
                           {}});
    if (row.contains("core_share")) report.rows.back().core_share = row["core_share"].get<double>();
  }
  return report;
}

EntryRound measure_entry(const BenchSetup& setup, const std::string& entry) {
  EntryRound round;
  const auto json = measured(spec_of(setup, entry), &round.peak_rss_bytes);
  round.images_per_second = json.at("images_per_second").get<double>();
  if (entry == "plan") {
    const double measured_ns = json.at("measured_ns").get<double>();
    round.estimate = {json.at("predicted_ns").get<double>(), json.at("expected_ns").get<double>(),
                      json.at("latest_ns").get<double>(), measured_ns,
                      loop_error_percent(setup.cpus, measured_ns / 1e9)};
  }
  return round;
}

fs::path plan_file(const BenchSetup& setup, const std::string& entry) {
  return setup.folder / (entry == "plan" ? "plan.json" : "even.json");
}

}  // namespace millrace::cli
