#pragma once
// How each entry of the benchmark is started: program, cores, environment.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "controller/cli/bench/dispatch.hpp"
#include "controller/cli/bench/layers.hpp"
#include "controller/cli/bench/process.hpp"
#include "controller/cli/bench/report.hpp"
#include "millrace/profiler.hpp"

namespace millrace::cli {

/// What all entries of a benchmark share.
struct BenchSetup {
  std::string model;
  std::int64_t batch = 64;
  std::int64_t classes = 1000;
  Algorithms algorithms = Algorithms::all;
  Precision precision = Precision::fp32;
  std::vector<int> cpus;  ///< those of --cores
  int first_cpu = 0;      ///< one of the fastest kind: "one core"
  int steps = 4, warmup = 1;
  std::filesystem::path folder;  ///< plans and costs of this benchmark
  std::string layout_one_core = "nchw", layout_all_cores = "nchw";
  std::string no_even_plan;  ///< why "even data parallel" is not possible; "": it is
};

/// Where the tuned entry's libraries lie; absent where one of the packages is.
struct TunedLibraries {
  std::filesystem::path tcmalloc;         ///< the library to preload
  std::filesystem::path openblas_folder;  ///< its OpenMP build
};
std::optional<TunedLibraries> find_tuned_libraries();

/// Steps that make an entry run for some seconds on a core of a PC: 4 for AlexNet, 200 at most.
int default_steps(double flops_per_step);

struct ModelWork {
  double flops_per_image = 0;
  std::vector<LayerWork> layers;
};

/// Counts the model's work; with `costs`, also measures the layers, and writes costs.json and
/// topology.json to the setup's folder.
ModelWork prepare_costs(const BenchSetup& setup, bool costs);

/// The faster of LibTorch's layouts, by a tenth of the timed steps of each.
std::string faster_layout(const BenchSetup& setup, bool one_core);

MatrixRate measure_matrix_rate(const BenchSetup& setup);

/// On all CPUs of the setup; some seconds.
DispatchReport measure_dispatch(const BenchSetup& setup);

/// One round of one entry. REQUIRES: "libtorch tuned" only with its libraries.
EntryRound measure_entry(const BenchSetup& setup, const std::string& entry);

/// File of the plan that entry "plan" or "even data parallel" trains through.
std::filesystem::path plan_file(const BenchSetup& setup, const std::string& entry);

}  // namespace millrace::cli
