#include "framework/plan/partial_recompute.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace millrace {
namespace {

constexpr std::size_t kMostPairs = 128;

/// Layers begin … end - 1 of the stage, computed again together.
struct Run {
  std::size_t begin = 0, end = 0;
};

/// What may be chosen of the layers before one: bytes kept per sample, and the time of a step's
/// recomputation.
struct Pair {
  double bytes = 0, ns = 0;
  int before = -1;  // among all pairs
  Run run;          // the last choice; empty: a layer that is kept
};

class Choice {
 public:
  Choice(const CostModel& model, const StageOption& plain, const Batching& batching,
         const InFlight& flight)
      : model_(model), stage_(plain), batching_(batching) {
    model.cuts().visit_members(plain.shape.first, plain.shape.last, [&](int position) {
      members_.push_back(position);
      saved_.push_back(model.layer(position).saved_bytes);
      ns_.push_back(step_ns(position));
    });
    fixed_bytes_ = CostModel::memory_bytes(plain.cost, batching, {0, flight.weights});
  }

  /// Positions, ascending.
  std::optional<std::vector<int>> within(double bytes) {
    most_ = (bytes - fixed_bytes_) / double(batching_.full);
    pairs_ = {Pair{}};
    at_.assign(members_.size() + 1, {});
    at_.front() = {0};
    for (std::size_t l = 0; l < members_.size(); ++l) {
      keep_best(at_[l]);
      extend(l);
    }
    keep_best(at_.back());
    if (at_.back().empty()) return std::nullopt;
    const auto least = std::min_element(at_.back().begin(), at_.back().end(),
                                        [&](int a, int b) { return pairs_[a].ns < pairs_[b].ns; });
    return positions_of(*least);
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

  void offer(std::size_t next, const Pair& pair) {
    if (pair.bytes > most_) return;
    at_[next].push_back(static_cast<int>(pairs_.size()));
    pairs_.push_back(pair);
  }

  /// From the layer on: it is kept, or it begins a run, behind which a layer is kept.
  void extend(std::size_t begin) {
    const std::size_t count = members_.size();
    for (const int before : at_[begin])
      offer(begin + 1, {pairs_[before].bytes + saved_[begin], pairs_[before].ns, before, {}});
    RunReads reads(model_.graph(), members_[begin]);
    double saved = 0, ns = 0;
    for (std::size_t end = begin + 1; end <= count; ++end) {
      const double inputs = reads.add(members_[end - 1]);
      saved += saved_[end - 1];
      ns += ns_[end - 1];
      const bool last = end == count;
      for (const int before : at_[begin]) {
        const Pair pair = pairs_[before];
        if (pair.bytes + inputs + saved > most_) continue;
        offer(last ? end : end + 1,
              {pair.bytes + inputs + (last ? 0 : saved_[end]), pair.ns + ns, before, {begin, end}});
      }
    }
  }

  /// Of pairs none with more bytes and more time than another.
  void keep_best(std::vector<int>& pairs) const {
    std::sort(pairs.begin(), pairs.end(), [&](int a, int b) {
      return std::pair(pairs_[a].bytes, pairs_[a].ns) < std::pair(pairs_[b].bytes, pairs_[b].ns);
    });
    std::vector<int> best;
    for (const int pair : pairs)
      if (best.empty() || pairs_[pair].ns < pairs_[best.back()].ns) best.push_back(pair);
    pairs.clear();
    const std::size_t count = std::min(best.size(), kMostPairs);
    for (std::size_t i = 0; i < count; ++i)  // the first and the last among them
      pairs.push_back(best[count == 1 ? 0 : i * (best.size() - 1) / (count - 1)]);
  }

  std::vector<int> positions_of(int pair) const {
    std::vector<int> result;
    for (; pair >= 0; pair = pairs_[pair].before)
      for (std::size_t l = pairs_[pair].run.begin; l < pairs_[pair].run.end; ++l)
        result.push_back(members_[l]);
    std::sort(result.begin(), result.end());
    return result;
  }

  const CostModel& model_;
  const StageOption& stage_;
  const Batching& batching_;
  std::vector<int> members_;        // positions, ascending
  std::vector<double> saved_, ns_;  // by member
  double fixed_bytes_ = 0, most_ = 0;
  std::vector<Pair> pairs_;
  std::vector<std::vector<int>> at_;  // by member: what may be chosen before it
};

bool may_choose(const CostModel& model, const StageShape& shape, const InFlight& flight) {
  const int kind = model.states().single_kind(shape.state);
  return flight.backward == 1 && shape.split != Split::features && kind >= 0 &&
         !model.profile().kinds[static_cast<std::size_t>(kind)].memory_bytes;
}

}  // namespace

std::optional<StageOption> recomputed_within(const CostModel& model, const StageOption& plain,
                                             const Batching& batching, const InFlight& flight,
                                             double bytes) {
  if (!may_choose(model, plain.shape, flight)) return std::nullopt;
  auto positions = Choice(model, plain, batching, flight).within(bytes);
  if (!positions || positions->empty()) return std::nullopt;
  StageOption option = plain;
  option.shape.again = std::make_shared<const std::vector<int>>(std::move(*positions));
  option.cost = model.cost(option.shape, batching, option.shares);
  return option;
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
      least = std::min(middle, CostModel::memory_bytes(found->cost, batching, flight));
    } else {
      below = middle;
    }
  }
  return least;
}

}  // namespace millrace
