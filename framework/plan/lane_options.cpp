#include "framework/plan/lane_options.hpp"

#include <span>
#include <utility>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What a stage adds to a step of its lane.
double step_ns(const StageCost& cost, const Batching& step, Objective objective) {
  if (objective == Objective::period) return cost.load_ns;
  return double(step.count) * (cost.full.forward_ns + cost.full.backward_ns) + cost.reduce_ns +
         cost.update_ns;
}

}  // namespace

LaneOptions::LaneOptions(const CostModel& model, const SearchSpace& space,
                         std::vector<LaneForm> forms, const std::vector<int>& order)
    : model_(model), space_(space), forms_(std::move(forms)) {
  cuts_.push_back(0);
  for (std::size_t p = 1; p <= order.size(); ++p)
    cuts_.push_back(model.cuts().with(0, std::span(order).first(p)));
}

const StageOption* LaneOptions::get(int first, const Piece& piece, int micro_batch) {
  const auto [place, is_new] =
      options_.try_emplace(std::tuple(first, piece.end, piece.form, micro_batch));
  if (is_new) place->second = cheapest(first, piece, batching(micro_batch));
  return place->second ? &*place->second : nullptr;
}

double LaneOptions::ns(int first, const Piece& piece, int micro_batch) {
  const StageOption* const option = get(first, piece, micro_batch);
  if (option == nullptr) return kInfinity;
  return option->cost.full.forward_ns + option->cost.full.backward_ns;
}

/// Of the ways that the lane's workers can run it: by samples or by features.
std::optional<StageOption> LaneOptions::cheapest(int first, const Piece& piece,
                                                 const Batching& step) const {
  const LaneForm& form = forms_[static_cast<std::size_t>(piece.form)];
  const int from = cuts_[static_cast<std::size_t>(first)];
  const int to = cuts_[static_cast<std::size_t>(piece.end)];
  std::optional<StageOption> best;
  double least = kInfinity;
  if (from < 0 || to < 0) return best;
  for (const Split split : {Split::samples, Split::features, Split::threads}) {
    if ((split == Split::threads) != (form.width > 1)) continue;
    StageShape shape = model_.shape(from, to, form.state, split, form.width, false);
    shape.recompute = form.recompute;
    if (!model_.allows(shape) || model_.replicas(shape) > step.full) continue;
    const ShareGroups shares = model_.best_shares(shape, step.full);
    const StageCost cost = model_.cost(shape, step, shares);
    const double ns = step_ns(cost, step, space_.objective);
    if (ns >= least) continue;
    least = ns;
    best = StageOption{shape, shares, cost};
  }
  return best;
}

}  // namespace millrace
