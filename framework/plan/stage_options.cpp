#include "framework/plan/stage_options.hpp"

#include <algorithm>
#include <limits>

#include "framework/plan/partial_recompute.hpp"

namespace millrace {
namespace {

bool no_slower(const MicroBatchTimes& a, const MicroBatchTimes& b) {
  return a.forward_ns <= b.forward_ns && a.backward_ns <= b.backward_ns &&
         a.input_gradient_ns <= b.input_gradient_ns &&
         a.weight_gradient_ns <= b.weight_gradient_ns &&
         a.links.in_forward_ns <= b.links.in_forward_ns &&
         a.links.out_forward_ns <= b.links.out_forward_ns &&
         a.links.in_backward_ns <= b.links.in_backward_ns &&
         a.links.out_backward_ns <= b.links.out_backward_ns;
}

/// Longer times and more memory never make a step shorter or a plan feasible, whatever the other
/// stages are: then the worse option may go.
bool dominates(const StageCost& a, const StageCost& b) {
  return no_slower(a.full, b.full) && no_slower(a.rest, b.rest) && a.load_ns <= b.load_ns &&
         a.reduce_ns <= b.reduce_ns && a.update_ns <= b.update_ns &&
         a.fixed_bytes <= b.fixed_bytes && a.flight_bytes <= b.flight_bytes &&
         a.kept_bytes <= b.kept_bytes;
}

bool has_device_budgets(const Profile& profile) {
  return std::any_of(profile.kinds.begin(), profile.kinds.end(),
                     [](const DeviceKind& kind) { return kind.memory_bytes.has_value(); });
}

}  // namespace

StageOptions::StageOptions(const CostModel& model, const StageLimits& limits,
                           std::pmr::memory_resource* memory)
    : model_(model), limits_(limits), known_(memory) {}

void StageOptions::reset(const Batching& batching, bool sole) {
  batching_ = batching;
  sole_ = sole;
  known_.clear();
}

std::span<const StageOption> StageOptions::get(int first, int last, int state) {
  const auto stride = static_cast<std::uint64_t>(model_.cuts().size());
  const std::uint64_t key =
      (std::uint64_t(state) * stride + std::uint64_t(first)) * stride + std::uint64_t(last);
  const auto [place, is_new] = known_.try_emplace(key);
  if (is_new) {
    visit_shapes(first, last, state, [&](const StageShape& shape) {
      quarters_ += 4;
      const StageOption option = option_of(shape);
      add(option, place->second);
      if (sole_ && !shape.recompute) add_recomputed(option, place->second);
    });
  }
  return place->second;
}

double StageOptions::least_load_ns(int first, int last, int state) {
  double least = std::numeric_limits<double>::infinity();
  visit_shapes(first, last, state, [&](const StageShape& shape) {
    ++quarters_;
    const ShareGroups shares = model_.best_shares(shape, batching_.full);
    least = std::min(least, model_.load_ns(shape, batching_, shares));
  });
  return least;
}

StageOption StageOptions::option_of(const StageShape& shape) const {
  const ShareGroups shares = model_.best_shares(shape, batching_.full);
  return {shape, shares, model_.cost(shape, batching_, shares)};
}

double StageOptions::step_ns(const StageOption& sole) const {
  if (model_.objective() == Objective::period)
    return sole.cost.load_ns * double(batching_.batch) / double(batching_.full);
  const auto ns = [](const MicroBatchTimes& times) { return times.forward_ns + times.backward_ns; };
  return double(batching_.count - 1) * ns(sole.cost.full) + ns(sole.cost.rest) +
         sole.cost.reduce_ns + sole.cost.update_ns;
}

/// Of a plan's only stage all memory is its own, so what it must compute again is known here.
void StageOptions::add_recomputed(const StageOption& plain,
                                  std::pmr::vector<StageOption>& options) {
  if (!limits_.recomputed || !limits_.memory_bytes) return;
  const InFlight flight = in_flight(limits_.schedule, 1, 0, batching_.count);
  if (CostModel::memory_bytes(plain.cost, batching_, flight) <= *limits_.memory_bytes) return;
  const auto found = recomputed_within(model_, plain, batching_, flight, *limits_.memory_bytes);
  if (!found) return;
  if (found->slack_ns > 0)
    other_choice_ns_ = std::min(other_choice_ns_, step_ns(found->option) - found->slack_ns);
  add(found->option, options);
}

void StageOptions::add(const StageOption& option, std::pmr::vector<StageOption>& options) const {
  if (!has_device_budgets(model_.profile())) {
    for (const StageOption& other : options) {
      if (dominates(other.cost, option.cost)) return;
    }
    std::erase_if(options,
                  [&](const StageOption& other) { return dominates(option.cost, other.cost); });
  }
  options.push_back(option);
}

template <typename Visit>
void StageOptions::visit_shapes(int first, int last, int state, const Visit& visit) const {
  for (StageShape shape : model_.shapes(first, last, state, sole_)) {
    const int replicas = model_.replicas(shape);
    if (replicas > batching_.full) continue;
    if (limits_.max_replicas && replicas > *limits_.max_replicas) continue;
    if (limits_.plain) visit(shape);
    shape.recompute = true;
    if (limits_.recomputed) visit(shape);
  }
}

}  // namespace millrace
