#pragma once
// Measures a model's layers on this machine, keeps what it measured and reuses it.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "millrace/profile.hpp"
#include "millrace/topology.hpp"

namespace millrace {

struct Model;

/// Which convolutions may be chosen.
enum class Algorithms {
  all,
  direct,  ///< none whose products are fewer than the sum's (Winograd), whose rounding differs more
};

/// What the products of layers may be rounded to.
enum class Precision {
  fp32,
  bf16,  ///< bfloat16 too, where that is faster; sums, weights and what is between layers: float32
};

/// Whether the implementation of a layer is allowed.
bool is_allowed(const std::string& implementation, Algorithms algorithms);
bool is_allowed(const std::string& implementation, Precision precision);

struct ProfileRequest {
  std::int64_t batch = 64;     ///< the largest sample count that is measured
  double budget_seconds = 50;  ///< measuring ends within it, probes aside; fewer repeats then
  std::string cache_folder;    ///< kept profiles; empty: default_cache_folder()/profiles
  Algorithms algorithms = Algorithms::all;  ///< each has a kept profile of its own
  Precision precision = Precision::fp32;    ///< so has this
  bool reuse = true;                        ///< false: measure anew even where a profile is kept
  /// Of cores that differ from a kept profile's. False: for who looks at them again while it trains
  /// and would begin at once; the kept profile is taken as it is, doubted.
  bool watch_changes = true;
  /// From 0 to 1 (done), with the layer that is next; from a measuring thread, one call at a time.
  /// May be empty; what it throws ends the measuring.
  std::function<void(double fraction, const std::string& what)> progress;
};

/// $MILLRACE_CACHE, else $XDG_CACHE_HOME/millrace, else $HOME/.cache/millrace, else millrace in the
/// system's folder for temporary files.
std::string default_cache_folder();

struct MeasuredProfile {
  Profile profile;
  Topology topology;    ///< with the kinds that measuring found and their measured relative speed
  bool reused = false;  ///< taken from the cache
  std::string file;     ///< where it is kept; empty where it could not be
  /// CPU -> rounds per second of the probe, for cores as fast as the costs say; empty: not probed.
  std::map<int, double> rates;
  bool doubted = false;  ///< some cores did not run at the speeds of then, in two probes
};

/// Times every layer of `model` on one core of each kind of `topology`, pinned: forward, backward,
/// update, alone and with the other cores busy, several sample counts, threads and feature slices
/// where the layer allows them. The weights of `model` are read only.
///
/// First every physical core is probed for 0.1 s, all at once; a doubtful probe is repeated, up to
/// 3 times where all cores changed alike, up to 23 times in 8 s where they differ. Cores that are
/// slower than others of their kind by more than 10 % become a kind of their own, with a line in
/// the log. A kept profile of the same machine, model, batch, build and libraries is used where
/// every core still runs at the speed of then; scaled where all cores changed by the same factor;
/// else measured again, or doubted (watch_changes). All with a line in the log.
///
/// Leaves Millrace's allocator installed and OpenBLAS limited to one thread: what training uses.
/// Throws ConfigError (model, request) and ResourceError (memory); a cache folder that cannot be
/// written to is warned about. Not thread-safe: measure one model at a time, on a quiet machine.
MeasuredProfile profile_model(const Model& model, const Topology& topology,
                              const ProfileRequest& request);

/// What profile_model() has kept, as it was measured; nothing is probed or measured. Empty where
/// nothing is kept.
std::optional<MeasuredProfile> kept_profile(const Model& model, const Topology& topology,
                                            const ProfileRequest& request);

}  // namespace millrace
