#pragma once
// `bench --layers`: each layer's passes beside the machine's matrix rate. Pure values.

#include <optional>
#include <string>
#include <vector>

#include "controller/cli/bench/report.hpp"
#include "millrace/profile.hpp"

namespace millrace::cli {

/// Of one layer, per sample.
struct LayerWork {
  std::string name;
  double forward_flops = 0, backward_flops = 0;
  double input_bytes = 0, output_bytes = 0;
};

/// One pass over the batch (update: one step). `bytes` is the least traffic: each of the tensors
/// that it reads or writes once.
struct PassFigures {
  std::string layer, type, implementation, pass;
  double one_core_ns = 0;
  std::optional<double> all_cores_ns;  ///< by threads; absent where that was not measured
  double flops = 0, bytes = 0;
};

struct LayersReport {
  std::string model;
  std::int64_t batch = 0;
  std::string kind;  ///< of the core
  std::vector<int> cpus;
  MatrixRate rate;
  std::vector<PassFigures> passes;
};

/// Every layer's passes on one core of `kind`, and by threads on `width` of them. `work` is of the
/// profile's layers, in order.
std::vector<PassFigures> pass_figures(const Profile& profile, const std::vector<LayerWork>& work,
                                      const std::string& kind, int width, std::int64_t batch);

std::string to_json(const LayersReport& report);
/// For people: a table of <= 100 columns; passes of less than a thousandth of the step are left
/// out.
std::string to_table(const LayersReport& report);

}  // namespace millrace::cli
