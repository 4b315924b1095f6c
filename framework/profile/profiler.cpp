#include "millrace/profiler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "framework/affinity/affinity.hpp"
#include "framework/layers/caching_allocator.hpp"
#include "framework/profile/core_rates.hpp"
#include "framework/profile/cost_graph.hpp"
#include "framework/profile/footprint.hpp"
#include "framework/profile/identity.hpp"
#include "framework/profile/kept_profile.hpp"
#include "framework/profile/layer_chain.hpp"
#include "framework/profile/measure_model.hpp"
#include "framework/profile/probe.hpp"
#include "framework/profile/profile_with_probe.hpp"
#include "framework/topology/blas_core.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/model.hpp"

namespace millrace {
namespace {

using Verdict = RateChange::Verdict;

void check_request(const ProfileRequest& request) {
  if (request.batch < 1) {
    throw ConfigError("profile",
                      fmt::format("the batch is {}, at least 1 sample is needed", request.batch));
  }
  if (!(request.budget_seconds > 0)) {
    throw ConfigError("profile", fmt::format("the time budget is {} s, more than 0 is needed",
                                             request.budget_seconds));
  }
}

std::vector<int> all_devices(const Topology& topology) {
  std::vector<int> cpus;
  for (const CoreKind& kind : topology.kinds) {
    const std::vector<int> own = device_cpus(topology, kind);
    cpus.insert(cpus.end(), own.begin(), own.end());
  }
  return cpus;
}

void set_memory_budget(Profile& profile, const Topology& topology) {
  const double bytes = memory_budget_bytes(topology);
  profile.shared_memory_bytes = bytes > 0 ? std::optional<double>(bytes) : std::nullopt;
}

/// Who trains in a program of their own have loaded OpenBLAS before we could choose its kernels.
void report_blas() {
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr) return;  // of which others warn
  if (const auto core = faster_loaded_blas_core())
    log_warning("profile", fmt::format("OpenBLAS computes with kernels that use little of this "
                                       "CPU: start with OPENBLAS_CORETYPE={}",
                                       *core));
}

void report_change(const RateChange& change, bool doubted) {
  if (change.verdict == Verdict::uniform)
    log_info("profile", fmt::format("all cores run at {:.0f} % of the speed that the kept profile "
                                    "was measured at: costs are scaled",
                                    100 * change.factor));
  if (change.verdict == Verdict::changed)
    log_info("profile",
             doubted ? "cores run at other speeds than when the profile was made: the training "
                       "begins by it and looks again behind its first steps"
                     : "cores run at other speeds than when the profile was made: measuring anew");
}

/// The kept profile for a machine that runs at `change` of its rates.
MeasuredProfile reuse(KeptProfile kept, const Topology& topology, const RateChange& change,
                      const std::string& file) {
  MeasuredProfile result{std::move(kept.profile), topology, true, file};
  result.topology.kinds = std::move(kept.kinds);
  set_memory_budget(result.profile, topology);
  result.rates = std::move(kept.rates);
  result.doubted = change.verdict == Verdict::changed;
  if (change.verdict == Verdict::uniform) {
    result.profile = at_speed(std::move(result.profile), change.factor);
    for (auto& [cpu, rate] : result.rates) rate *= change.factor;
  }
  return result;
}

void report_kinds(const Topology& before, const Topology& formed) {
  if (before.kinds.size() == formed.kinds.size()) return;
  std::string text;
  for (const CoreKind& kind : formed.kinds) {
    text += fmt::format("{}{} (CPUs {}, {:.0f} %)", text.empty() ? "" : ", ", kind.name,
                        format_cpu_list(kind.cpus), 100 * kind.relative_speed);
  }
  log_info(
      "profile",
      fmt::format("cores of one kind run at different speeds, kinds are formed again: {}", text));
}

/// Who asks for bfloat16 is told where it does not pay.
void report_bf16(const Profile& profile) {
  const auto layers =
      std::count_if(profile.layers.begin(), profile.layers.end(), [](const LayerCosts& layer) {
        return std::any_of(
            layer.implementation.begin(), layer.implementation.end(),
            [](const auto& of_kind) { return !is_allowed(of_kind.second, Precision::fp32); });
      });
  log_info("profile", layers == 0
                          ? std::string("no layer is faster with products of bfloat16 on this "
                                        "machine: all compute in float32")
                          : fmt::format("layers that compute with products of bfloat16, "
                                        "which are faster: {}",
                                        layers));
}

std::filesystem::path folder_of(const ProfileRequest& request) {
  if (!request.cache_folder.empty()) return request.cache_folder;
  return std::filesystem::path(default_cache_folder()) / "profiles";
}

class Profiler {
 public:
  Profiler(const Model& model, const Topology& topology, const ProfileRequest& request,
           const ProbeCores& probe)
      : model_(model),
        topology_(topology),
        request_(request),
        probe_(probe),
        facts_(check_model(model)),
        identity_(profile_identity(model, facts_, topology, request)),
        folder_(folder_of(request)) {}

  MeasuredProfile run() {
    std::optional<KeptProfile> kept;
    if (request_.reuse) kept = find_kept_profile(folder_, identity_);
    if (kept && lacks_large_passes(*kept)) kept.reset();
    const CoreRates rates =
        settled_rates([this] { return probe_(all_devices(topology_)); },
                      [&](const CoreRates& probed) { return probes_needed(kept, probed); });
    if (kept) {
      const RateChange change = compare_rates(kept->rates, rates);
      const std::string file = kept_profile_path(folder_, identity_).string();
      const bool serves = change.verdict != Verdict::changed || !request_.watch_changes;
      report_change(change, serves);
      if (serves) return reuse(*kept, topology_, change, file);
    }
    return measure(rates);
  }

 private:
  /// Whether it was measured while the memory was short, of which there is more now.
  bool lacks_large_passes(const KeptProfile& kept) const {
    if (kept.most_samples >= request_.batch) return false;
    const std::int64_t most = most_samples();
    if (most < 2 * kept.most_samples) return false;
    log_info("profile", fmt::format("passes of {} samples at most fitted the memory when the "
                                    "profile was made, {} do now: measuring anew",
                                    kept.most_samples, most));
    return true;
  }
  std::int64_t most_samples() const {
    return samples_that_fit(facts_, memory_budget_bytes(topology_), request_.batch);
  }

  int probes_needed(const std::optional<KeptProfile>& kept, const CoreRates& probed) const {
    if (!kept) return kinds_differ(topology_, probed) ? kProbesOfChange : 1;
    const Verdict verdict = compare_rates(kept->rates, probed).verdict;
    if (verdict == Verdict::same) return 1;
    if (!request_.watch_changes) return kProbesOfStart;
    return verdict == Verdict::uniform ? kProbesOfSpeed : kProbesOfChange;
  }

  MeasuredProfile measure(const CoreRates& rates) {
    begin_ns_ = steady_ns();
    MeasuredProfile result;
    result.topology = form_kinds(topology_, rates);
    report_kinds(topology_, result.topology);
    const double budget_ns = 1e9 * request_.budget_seconds;
    const MeasuringJob job{model_,
                           facts_,
                           result.topology,
                           request_.batch,
                           request_.algorithms,
                           request_.precision,
                           memory_budget_bytes(topology_),
                           begin_ns_ + budget_ns,
                           progress(budget_ns)};
    const auto times = measure_model(job);
    trim_allocator();
    result.profile = make_cost_graph(model_, facts_, result.topology, request_.batch, times);
    result.topology.kinds = measured_speeds(result.topology.kinds, times);
    check_profile(result.profile, "the measured profile");
    result.file = keep_profile(
        folder_, {identity_, result.topology.kinds, rates, result.profile, most_samples()});
    set_memory_budget(result.profile, topology_);
    result.rates = rates;
    if (request_.progress) request_.progress(1, "done");
    return result;
  }

  std::function<void(const std::string&)> progress(double budget_ns) const {
    if (!request_.progress) return {};
    return [this, budget_ns](const std::string& what) {
      request_.progress(std::min(0.99, (steady_ns() - begin_ns_) / budget_ns), what);
    };
  }

  /// `kinds` with the speed at which they trained, relative to the fastest.
  static std::vector<CoreKind> measured_speeds(std::vector<CoreKind> kinds,
                                               const std::map<std::string, KindTimes>& times);

  const Model& model_;
  const Topology& topology_;
  const ProfileRequest& request_;
  const ProbeCores& probe_;
  double begin_ns_ = 0;  // of measuring
  std::vector<LayerFacts> facts_;
  std::string identity_;
  std::filesystem::path folder_;
};

std::vector<CoreKind> Profiler::measured_speeds(std::vector<CoreKind> kinds,
                                                const std::map<std::string, KindTimes>& times) {
  double fastest = 0;
  for (CoreKind& kind : kinds) {
    kind.relative_speed = 1 / ns_per_sample(times.at(kind.name).alone);
    fastest = std::max(fastest, kind.relative_speed);
  }
  for (CoreKind& kind : kinds) kind.relative_speed /= fastest;
  return kinds;
}

}  // namespace

MeasuredProfile profile_model(const Model& model, const Topology& topology,
                              const ProfileRequest& request) {
  return profile_model(model, topology, request, patient_probe());
}

MeasuredProfile profile_model(const Model& model, const Topology& topology,
                              const ProfileRequest& request, const ProbeCores& probe) {
  check_request(request);
  limit_blas_threads(1);
  report_blas();
  install_caching_allocator();
  MeasuredProfile measured = Profiler(model, topology, request, probe).run();
  if (request.precision == Precision::bf16) report_bf16(measured.profile);
  return measured;
}

std::optional<MeasuredProfile> kept_profile(const Model& model, const Topology& topology,
                                            const ProfileRequest& request) {
  const std::string identity = profile_identity(model, check_model(model), topology, request);
  auto kept = find_kept_profile(folder_of(request), identity);
  if (!kept) return std::nullopt;
  const std::string file = kept_profile_path(folder_of(request), identity).string();
  return reuse(std::move(*kept), topology, {}, file);
}

}  // namespace millrace
