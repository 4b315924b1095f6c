#include "framework/plan/failure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "framework/plan/any_cut.hpp"
#include "framework/plan/partial_recompute.hpp"
#include "framework/plan/pipeline.hpp"
#include "framework/plan/plan_request.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

constexpr double kNoticed = 0.02;  // less is not worth another flag
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Least memory by dynamic programming over (cut, devices left), one stage after the other.
class LeastMemory {
 public:
  LeastMemory(const CostModel& model, const SearchSpace& space)
      : model_(model), space_(space), batching_(space.batch, space.micro_batches.back()) {
    const Cuts& cuts = model.cuts();
    for (int cut = 0; cut < cuts.size() && cuts.size() <= kMostCuts; ++cut) cuts_.push_back(cut);
    for (int p = 0; p <= model.layers() && cuts.size() > kMostCuts; ++p)
      cuts_.push_back(cuts.prefix(p));
  }

  double of_stages(int stages) const {
    const int end = static_cast<int>(cuts_.size()) - 1;
    std::vector<double> least(index(end + 1, 0), kInfinity);
    least[index(0, model_.states().all())] = 0;
    for (int s = 0; s < stages; ++s) {
      std::vector<double> next(least.size(), kInfinity);
      for (int first = 0; first < end; ++first) {
        for (int state = 1; state < model_.states().size(); ++state) {
          if (least[index(first, state)] < kInfinity) {
            add_stage(stages, s, first, state, least[index(first, state)], next);
          }
        }
      }
      least = std::move(next);
    }
    const auto whole = least.begin() + static_cast<long>(index(end, 0));
    return *std::min_element(whole, least.end());
  }

 private:
  /// Of graphs with more only the cuts of their order are looked at: what they need is enough.
  static constexpr int kMostCuts = 500;

  /// `place`: in cuts_.
  std::size_t index(int place, int state) const {
    return static_cast<std::size_t>(place) * model_.states().size() + state;
  }

  void add_stage(int stages, int s, int first, int state, double before,
                 std::vector<double>& next) const {
    for (int kind = 0; kind < model_.states().kinds(); ++kind) {
      if (model_.states().count(state, kind) == 0) continue;
      const int part = model_.states().state_of(kind, 1);
      for (std::size_t last = first + 1; last < cuts_.size(); ++last) {
        if (!model_.cuts().within(cuts_[first], cuts_[last])) continue;
        double& place = next[index(static_cast<int>(last), state - part)];
        const auto shape = model_.shape(cuts_[first], cuts_[last], part, Split::samples, 1, false);
        place = std::min(place, before + stage_bytes(shape, stages, s));
      }
    }
  }

  double stage_bytes(StageShape shape, int stages, int s) const {
    if (!model_.allows(shape)) return kInfinity;
    const ShareGroups shares = model_.even_shares(shape, batching_.full);
    const InFlight flight = in_flight(space_.schedules.front(), stages, s, batching_.count);
    double least = kInfinity;
    for (const bool recompute : {false, true}) {
      if (!(recompute ? space_.stage.recomputed : space_.stage.plain)) continue;
      shape.recompute = recompute;
      if (model_.broken_budget(shape, batching_, shares, flight)) continue;
      const StageOption option{shape, shares, model_.cost(shape, batching_, shares)};
      least = std::min(least, CostModel::memory_bytes(option.cost, batching_, flight));
      const bool whole = shape.first == 0 && shape.last == model_.cuts().all();
      if (whole && !recompute && space_.stage.recomputed)
        least = std::min(least, least_recomputed_bytes(model_, option, batching_, flight));
    }
    return least;
  }

  const CostModel& model_;
  const SearchSpace& space_;
  Batching batching_;
  std::vector<int> cuts_;
};

/// A request that asks one thing less.
struct Relaxed {
  std::string flag;
  PlanRequest request;
};

std::vector<Relaxed> relaxations(const PlanRequest& request) {
  std::vector<Relaxed> result;
  const auto add = [&](bool asked, const std::string& flag, auto change) {
    if (!asked) return;
    result.push_back({flag, request});
    change(result.back().request);
  };
  add(request.recompute != RecomputePolicy::automatic, "--recompute auto",
      [](PlanRequest& r) { r.recompute = RecomputePolicy::automatic; });
  add(request.micro_batch.has_value(), "--micro-batch auto",
      [](PlanRequest& r) { r.micro_batch.reset(); });
  add(request.schedule == "fill-drain" || splits_backward(request.schedule), "--schedule auto",
      [](PlanRequest& r) { r.schedule = "auto"; });
  add(request.max_stages.has_value(), "a larger --max-stages",
      [](PlanRequest& r) { r.max_stages.reset(); });
  return result;
}

/// As --memory takes it, never less than `bytes`.
std::string memory_flag(double bytes) {
  constexpr double kMebi = 1024.0 * 1024.0;
  if (bytes < 10 * kMebi) return fmt::format("--memory {:.0f}", std::ceil(bytes));
  return fmt::format("--memory {:.0f}M", std::ceil(bytes / kMebi));
}

/// The first layer that none of the devices can run, or -1.
int layer_without_device(const CostModel& model) {
  for (int p = 0; p < model.layers(); ++p) {
    bool any = false;
    for (int kind = 0; kind < model.states().kinds(); ++kind) {
      if (model.states().count(model.states().all(), kind) == 0) continue;
      const int one = model.states().state_of(kind, 1);
      const Cuts& cuts = model.cuts();
      any = any || model.allows(model.shape(cuts.prefix(p), cuts.prefix(p + 1), one, Split::samples,
                                            1, false));
    }
    if (!any) return p;
  }
  return -1;
}

PlanFailure missing_device(const LayerCosts& layer) {
  std::vector<std::string> kinds;
  for (const auto& [kind, ns] : layer.forward_ns) kinds.push_back(kind);
  return {
      fmt::format("layer \"{}\" has costs on {} only, and no such device is allowed", layer.name,
                  fmt::join(kinds, ", ")),
      fmt::format("allow a device of the kind {} with --cores or --gpu", fmt::join(kinds, " or "))};
}

std::string reason_of(double least, const std::optional<double>& budget, bool any_cut,
                      double reserved) {
  if (least == kInfinity) {
    return fmt::format(
        "no cut of the layers {}keeps within the kinds that can run them, their own "
        "memory and the stages allowed",
        any_cut ? "that was tried " : "");
  }
  if (!budget || least <= *budget) return "the search ended before it found a plan";
  const std::string batches =
      reserved > 0
          ? fmt::format(" and the batches that are decoded ahead {}", format_bytes(reserved))
          : "";
  return fmt::format("the smallest plan needs {}{}, the budget is {}", format_bytes(least), batches,
                     format_bytes(*budget + reserved));
}

/// Of a plan that needs `least`: as --memory, unless the machine has no more.
std::string more_memory(const Profile& profile, double least, double reserved) {
  if (!profile.shared_memory_bytes || least + reserved <= *profile.shared_memory_bytes)
    return memory_flag(least + reserved);
  return fmt::format("a smaller --batch, or a machine with more memory than the {} of these costs",
                     format_bytes(*profile.shared_memory_bytes));
}

/// "--recompute auto" where that alone is enough; else the memory that is, and with which flag.
std::string nearest_request(const CostModel& model, const PlanRequest& request, double least,
                            double reserved) {
  const Profile& profile = model.profile();
  std::string nearest = least < kInfinity ? more_memory(profile, least, reserved) : "";
  for (const Relaxed& relaxed : relaxations(request)) {
    const SearchSpace space = make_space(relaxed.request, profile);
    const double bytes = least_bytes(model, space);
    if (!space.memory_bytes ? bytes < kInfinity : bytes <= *space.memory_bytes) return relaxed.flag;
    const bool helps =
        bytes < (1 - kNoticed) * least &&
        (!profile.shared_memory_bytes || bytes + reserved <= *profile.shared_memory_bytes);
    if (helps) nearest += fmt::format(", or {} {}", relaxed.flag, memory_flag(bytes + reserved));
  }
  if (nearest.empty()) return "more memory for the kinds of devices, or devices of other kinds";
  return nearest.starts_with(", or ") ? nearest.substr(5) : nearest;
}

/// Where no cut is possible that gives each device one stage.
bool any_cut_helps(const CostModel& model, const PlanRequest& request) {
  PlanRequest wider = request;
  wider.any_cut = true;
  wider.schedule = "auto";
  const SearchSpace space = make_space(wider, model.profile());
  SearchResult found;
  search_any_cut(model, space, found);
  return found.best.has_value();
}

}  // namespace

double least_bytes(const CostModel& model, const SearchSpace& space) {
  const int most =
      std::min({model.layers(), space.max_stages, model.states().devices(model.states().all())});
  double least = kInfinity;
  for (int stages = 1; stages <= most; ++stages) {
    least = std::min(least, LeastMemory(model, space).of_stages(stages));
  }
  return least;
}

PlanFailure explain_failure(const CostModel& model, const PlanRequest& request,
                            double reserved_bytes) {
  const int layer = layer_without_device(model);
  if (layer >= 0) return missing_device(model.layer(layer));
  const SearchSpace space = make_space(request, model.profile());
  const double least = least_bytes(model, space);
  const std::string reason = reason_of(least, space.memory_bytes, space.any_cut, reserved_bytes);
  if (!space.memory_bytes && least < kInfinity) return {reason, "a longer --search-time"};
  if (least == kInfinity && !space.any_cut && any_cut_helps(model, request))
    return {reason, "--any-cut"};
  return {reason, nearest_request(model, request, least, reserved_bytes)};
}

}  // namespace millrace
