#pragma once
// What the layers cost on each kind of core: the planner's input. The JSON form is the cost graph
// "millrace-costs" (docs/costs.md). Symbols: layer l, kind k, sample count n.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// A class of interchangeable devices.
struct DeviceKind {
  std::string name;
  int count = 1;
  std::optional<double> memory_bytes;  ///< budget of each device; absent: none of its own
  double link_ns_per_byte = 0;
  double link_latency_ns = 0;
  bool operator==(const DeviceKind&) const = default;
};

using PerKind = std::map<std::string, std::vector<double>>;  ///< kind -> ns per Profile::samples
using PerWidth = std::map<int, std::vector<double>>;         ///< devices -> ns per Profile::samples

struct PassWidths {
  std::map<std::string, PerWidth> forward;   ///< kind -> width -> ns per sample count
  std::map<std::string, PerWidth> backward;  ///< absent where the profile is for inference
  std::map<std::string, PerWidth> input_gradient, weight_gradient;  ///< as LayerCosts' own
  bool operator==(const PassWidths&) const = default;
};

struct LayerCosts {
  std::string name;
  std::string type;    ///< "conv2d", "linear", …; free text for the planner
  PerKind forward_ns;  ///< a kind that is absent cannot run the layer
  PerKind backward_ns;
  /// The backward part in two that run apart, together no faster than backward_ns; on all its kinds
  /// or on none: the weights' gradient cannot wait.
  PerKind input_gradient_ns, weight_gradient_ns;
  std::map<std::string, double> update_ns;  ///< per step, whatever the sample count
  double weights_bytes = 0;
  double saved_bytes = 0;            ///< per sample, kept from forward to backward
  double weight_gradient_bytes = 0;  ///< per sample, kept between the two parts of backward
  /// Per sample, kept until the update, which forms the weights' gradient and applies it at once:
  /// no gradient is kept. 0: the backward part makes it.
  double deferred_bytes = 0;
  /// Scratch while the layer runs: whatever the samples, and for each of them.
  double workspace_bytes = 0, workspace_bytes_per_sample = 0;
  /// The result depends on which samples are computed together (batch normalisation): a step is one
  /// micro-batch.
  bool whole_batch = false;
  std::vector<std::string> splits;  ///< of "samples", "threads", "features"; empty: samples only
  std::optional<PassWidths> threads_ns;   ///< k threads in one replica; absent: no candidate
  std::optional<PassWidths> features_ns;  ///< an output slice of 1/n of alike devices
  std::map<std::string, double> loaded;   ///< kind -> factor with every other core busy
  std::optional<double> spread_percent;   ///< run-to-run spread of the measured times
  std::map<std::string, std::string> implementation;  ///< kind -> name of what was measured
  bool operator==(const LayerCosts&) const = default;

  bool splits_backward() const { return !input_gradient_ns.empty(); }
};

struct TensorCosts {
  std::string from;
  std::vector<std::string> to;
  double bytes = 0;       ///< per sample
  bool backward = false;  ///< pass "backward": from the consumer's to the producer's backward
  bool operator==(const TensorCosts&) const = default;
};

struct Profile {
  std::string model;
  bool training = true;
  std::vector<std::int64_t> samples;  ///< ascending; piecewise linear between, proportional beyond
  std::vector<DeviceKind> kinds;
  std::optional<double> shared_memory_bytes;  ///< one budget over all devices
  double bytes_per_weight_byte = 3;           ///< 1 weights, 2 + gradients, 3 + momentum
  bool overlapped_transfers = false;          ///< false: a device computes or transfers
  std::vector<LayerCosts> layers;
  std::vector<TensorCosts> tensors;
  std::optional<double> loader_ns_per_sample;
  bool operator==(const Profile&) const = default;

  /// Index into kinds, or -1.
  int kind_index(std::string_view kind) const;
  /// Whether some layer's does.
  bool splits_backward() const;
};

/// Reads and checks a cost graph. Unknown fields, a layer without a cost on any kind, a cycle, a
/// tensor from or to a layer that is not there, a negative or non-finite number: ConfigError (tag
/// "costs") that names `origin` (the file), the place and the remedy.
Profile profile_from_json(std::string_view text, const std::string& origin);
std::string to_json(const Profile& profile);
/// The checks of profile_from_json on a value that was made in memory.
void check_profile(const Profile& profile, const std::string& origin);

/// Cost at `count` samples of a curve measured at `samples`: linear between the counts,
/// proportional beyond the last and below the first (with one count: proportional). 0 at 0.
double interpolate_ns(const std::vector<std::int64_t>& samples, const std::vector<double>& ns,
                      double count);

}  // namespace millrace
