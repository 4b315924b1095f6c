#include "framework/plan/partial_recompute.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

namespace millrace {
namespace {

constexpr std::size_t kMostLayers = 1000;

/// Layers begin … end - 1 of the stage, computed again together.
struct Run {
  std::size_t begin = 0, end = 0;
};

/// What may be chosen of the layers before one: bytes kept per sample, and the time of a step's
/// recomputation.
struct Pair {
  double bytes = 0, ns = 0;
  int before = -1;  // among those that were followed
  Run run;          // the last choice; empty: a layer that is kept
};

class Choice {
 public:
  Choice(const CostModel& model, const StageOption& plain, const Batching& batching,
         const InFlight& flight, std::size_t most_work)
      : model_(model), stage_(plain), batching_(batching) {
    model.cuts().visit_members(plain.shape.first, plain.shape.last, [&](int position) {
      members_.push_back(position);
      saved_.push_back(model.layer(position).saved_bytes);
      ns_.push_back(step_ns(position));
    });
    most_pairs_ = std::max<std::size_t>(2, most_work / (members_.size() * members_.size()));
    find_falling();
    fixed_bytes_ = CostModel::memory_bytes(plain.cost, batching, {0, flight.weights});
  }

  /// Positions, ascending.
  std::optional<std::vector<int>> within(double bytes) {
    most_ = (bytes - fixed_bytes_) / double(batching_.full);
    followed_.clear();
    at_.assign(members_.size() + 1, {});
    at_.front() = {Pair{}};
    for (std::size_t l = 0; l < members_.size(); ++l) extend(l);
    keep_best(at_.back());
    if (at_.back().empty()) return std::nullopt;
    return positions_of(at_.back().back());  // the most bytes, the least time
  }

  double slack_ns() const {
    const double found = at_.back().back().ns;
    if (falls_) return found;
    return exact_ ? 0 : std::max(0.0, found - least_ns());
  }

 private:
  /// Forward of one layer in all micro-batches, on the replica with the largest share.
  double step_ns(int position) const {
    const auto of = [&](std::int64_t samples) {
      std::int64_t most = 0;
      const auto look = [&](const ShareGroup& group) { most = std::max(most, group.samples); };
      if (samples == batching_.full) {
        for (const ShareGroup& group : stage_.shares) look(group);
      } else {
        visit_shares_of(stage_.shares, batching_.full, samples, look);
      }
      return model_.forward_ns(stage_.shape, stage_.shares.begin()->kind, most, position);
    };
    const double full = of(batching_.full);
    if (model_.objective() == Objective::period || batching_.rest == batching_.full)
      return double(batching_.count) * full;
    return double(batching_.count - 1) * full + of(batching_.rest);
  }

  /// Then the replica with the largest share may not be the slowest.
  void find_falling() {
    const auto ns = [&](const ShareGroup& group, int position) {
      return model_.forward_ns(stage_.shape, group.kind, group.samples, position);
    };
    for (const ShareGroup& group : stage_.shares)
      for (const int position : members_)
        falls_ = falls_ || (group.samples < stage_.shares.begin()->samples &&
                            ns(group, position) > ns(*stage_.shares.begin(), position));
  }

  /// Of any choice: as if parts of layers could be chosen, and runs read nothing.
  double least_ns() const {
    std::vector<std::size_t> order(members_.size());
    std::iota(order.begin(), order.end(), 0);
    std::erase_if(order, [&](std::size_t l) { return saved_[l] <= 0; });
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return ns_[a] * saved_[b] < ns_[b] * saved_[a];
    });
    double more = std::accumulate(saved_.begin(), saved_.end(), -most_), ns = 0;
    for (const std::size_t l : order) {
      if (more <= 0) break;
      ns += ns_[l] * std::min(1.0, more / saved_[l]);
      more -= saved_[l];
    }
    return ns;
  }

  void offer(std::size_t next, const Pair& pair) {
    if (pair.bytes > most_) return;
    at_[next].push_back(pair);
    if (at_[next].size() >= 4 * most_pairs_) keep_best(at_[next]);
  }

  /// From the layer on: it is kept, or it begins a run, behind which a layer is kept.
  void extend(std::size_t begin) {
    keep_best(at_[begin]);
    const std::vector<Pair> pairs = std::move(at_[begin]);
    const auto first = static_cast<int>(followed_.size());
    followed_.insert(followed_.end(), pairs.begin(), pairs.end());
    for (std::size_t i = 0; i < pairs.size(); ++i)
      offer(begin + 1,
            {pairs[i].bytes + saved_[begin], pairs[i].ns, first + static_cast<int>(i), {}});
    const PlanGraph& graph = model_.graph();
    RunReads reads(graph);
    double samples = 0, saved = 0, ns = 0;
    for (std::size_t end = begin + 1; end <= members_.size(); ++end) {
      const int added = members_[end - 1];
      (graph.reads_sample(added) ? samples : saved) += saved_[end - 1];
      const double inputs = reads.add(added) + samples;
      const double at_end = graph.run_end_bytes[static_cast<std::size_t>(added)];
      ns += ns_[end - 1];
      if (pairs.empty() || pairs.front().bytes + inputs + saved > most_) break;
      const bool last = end == members_.size();
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        if (pairs[i].bytes + inputs + saved + at_end > most_) break;  // they ascend
        offer(last ? end : end + 1, {pairs[i].bytes + inputs + (last ? 0 : saved_[end]),
                                     pairs[i].ns + ns,
                                     first + static_cast<int>(i),
                                     {begin, end}});
      }
    }
  }

  /// Ascending bytes, descending time; the first and the last among them.
  void keep_best(std::vector<Pair>& pairs) {
    std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
      return std::pair(a.bytes, a.ns) < std::pair(b.bytes, b.ns);
    });
    std::vector<Pair> best;
    for (const Pair& pair : pairs)
      if (best.empty() || pair.ns < best.back().ns) best.push_back(pair);
    pairs.clear();
    const std::size_t count = std::min(best.size(), most_pairs_);
    exact_ = exact_ && count == best.size();
    for (std::size_t i = 0; i < count; ++i)
      pairs.push_back(best[count == 1 ? 0 : i * (best.size() - 1) / (count - 1)]);
  }

  std::vector<int> positions_of(Pair pair) const {
    std::vector<int> result;
    for (;;) {
      for (std::size_t l = pair.run.begin; l < pair.run.end; ++l) result.push_back(members_[l]);
      if (pair.before < 0) break;
      pair = followed_[static_cast<std::size_t>(pair.before)];
    }
    std::sort(result.begin(), result.end());
    return result;
  }

  const CostModel& model_;
  const StageOption& stage_;
  const Batching& batching_;
  std::vector<int> members_;        // positions, ascending
  std::vector<double> saved_, ns_;  // by member
  double fixed_bytes_ = 0, most_ = 0;
  std::size_t most_pairs_ = 0;
  bool exact_ = true;
  bool falls_ = false;  // some layer takes longer with fewer samples
  std::vector<Pair> followed_;
  std::vector<std::vector<Pair>> at_;  // by member: what may be chosen before it
};

bool may_choose(const CostModel& model, const StageShape& shape, const InFlight& flight) {
  if (model.layers() > static_cast<int>(kMostLayers)) return false;
  const int kind = model.states().single_kind(shape.state);
  return flight.backward == 1 && shape.split != Split::features && kind >= 0 &&
         !model.profile().kinds[static_cast<std::size_t>(kind)].memory_bytes;
}

}  // namespace

std::optional<Recomputed> recomputed_within(const CostModel& model, const StageOption& plain,
                                            const Batching& batching, const InFlight& flight,
                                            double bytes, std::size_t most_work) {
  if (!may_choose(model, plain.shape, flight)) return std::nullopt;
  Choice choice(model, plain, batching, flight, most_work);
  StageOption option = plain;
  for (const double rounding : {0.0, 1e-12}) {  // the sums are added up in another order there
    auto positions = choice.within(bytes * (1 - rounding));
    if (!positions || positions->empty()) return std::nullopt;
    option.shape.again = std::make_shared<const std::vector<int>>(std::move(*positions));
    option.cost = model.cost(option.shape, batching, option.shares);
    if (CostModel::memory_bytes(option.cost, batching, flight) <= bytes) break;
  }
  return Recomputed{std::move(option), choice.slack_ns()};
}

double least_recomputed_bytes(const CostModel& model, const StageOption& plain,
                              const Batching& batching, const InFlight& flight) {
  double least = CostModel::memory_bytes(plain.cost, batching, flight);
  if (!may_choose(model, plain.shape, flight)) return least;
  double below = CostModel::memory_bytes(plain.cost, batching, {0, flight.weights});
  for (int halvings = 0; halvings < 20; ++halvings) {
    const double middle = (below + least) / 2;
    const auto found = recomputed_within(model, plain, batching, flight, middle);
    if (found) {
      least = std::min(middle, CostModel::memory_bytes(found->option.cost, batching, flight));
    } else {
      below = middle;
    }
  }
  return least;
}

}  // namespace millrace
