#pragma once
// Measures a model's layers on this machine, keeps what it measured and reuses it.

#include <cstdint>
#include <functional>
#include <string>

#include "millrace/profile.hpp"
#include "millrace/topology.hpp"

namespace millrace {

struct Model;

struct ProfileRequest {
  std::int64_t batch = 64;       ///< the largest sample count that is measured
  double budget_seconds = 50;    ///< measuring ends within it; fewer repeats where it is short
  std::string cache_folder;      ///< kept profiles; empty: default_cache_folder()/profiles
  bool reuse = true;             ///< false: measure anew even where a profile is kept
  std::function<void(double fraction, const std::string& what)> progress;  ///< may be empty
};

/// $MILLRACE_CACHE, else $XDG_CACHE_HOME/millrace, else $HOME/.cache/millrace.
std::string default_cache_folder();

/// Times every layer of `model` on one core of each kind of `topology`, pinned: forward, backward,
/// update, alone and with the other cores busy, several sample counts, threads and feature slices
/// where the layer allows them. A kept profile of the same machine, model, batch, build and
/// libraries is used after each allowed core was probed (under 0.5 s in all): where a core's speed
/// differs by more than 5 % kinds are formed again and costs measured again, with a line in the log.
/// `topology.kinds` are the kinds of the profile unless measuring shows that a kind is not one.
/// Throws ConfigError (model), ResourceError (memory, cache folder not writable: warned, not thrown).
struct MeasuredProfile {
  Profile profile;
  Topology topology;    ///< with the kinds that measuring found and their measured relative speed
  bool reused = false;  ///< taken from the cache
  std::string file;     ///< where it is kept; empty where it could not be
};
MeasuredProfile profile_model(const Model& model, const Topology& topology,
                              const ProfileRequest& request);

}  // namespace millrace
