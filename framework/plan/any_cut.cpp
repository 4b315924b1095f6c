#include "framework/plan/any_cut.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "framework/plan/arrangements.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Arrangements that are weighed: a few tenths of a second.
constexpr std::int64_t kMostWeighed = 30'000;
/// Pipelines that are begun from, and how often their lanes take turns.
constexpr int kSeeds = 4;
constexpr int kMostTurns = 4;

/// How the devices of a lane work: alike for all of its stages.
struct LaneForm {
  int state = 0, width = 1;
  bool recompute = false;
};

/// Begins with a pipeline's order of layers and sets of devices.
class LocalSearch {
 public:
  LocalSearch(const CostModel& model, const SearchSpace& space, const Candidate& seed,
              std::int64_t most_weighed)
      : model_(model), space_(space), seed_(seed), most_weighed_(most_weighed) {
    for (const StageOption& stage : seed.stages) {
      const StageShape& shape = stage.shape;
      forms_.push_back({shape.state, shape.width, shape.recompute});
      model.cuts().visit_members(shape.first, shape.last,
                                 [&](int position) { order_.push_back(position); });
    }
    moves_ = {static_cast<int>(forms_.size()), space.max_stages, &space.micro_batches};
    cuts_.push_back(0);
    for (std::size_t p = 1; p <= order_.size(); ++p)
      cuts_.push_back(model.cuts().with(0, std::span(order_).first(p)));
  }

  /// The best from each beginning.
  std::vector<Candidate> run() {
    std::vector<Candidate> result;
    for (Arrangement& start : starts())
      if (auto found = climb(std::move(start))) result.push_back(std::move(*found));
    return result;
  }

  std::int64_t weighed() const { return weighed_; }

 private:
  /// What depends on lanes and micro-batches alone.
  struct Order {
    Schedule schedule;
    std::vector<InFlight> flights;
  };

  int layers() const { return static_cast<int>(order_.size()); }
  bool period() const { return space_.objective == Objective::period; }
  bool spent() const {
    return weighed_ >= most_weighed_ || (space_.out_of_time && space_.out_of_time());
  }
  Batching batching(int micro_batch) const {
    return {space_.batch, space_.micro_batches[static_cast<std::size_t>(micro_batch)]};
  }

  std::vector<Arrangement> starts() const;
  std::optional<std::vector<Piece>> each_layer_where_it_is_fastest() const;
  std::optional<std::vector<Piece>> in_turns(int turns) const;
  double whole_ns(int form, int first, int last) const;
  std::optional<Candidate> climb(Arrangement at);
  std::optional<Candidate> weigh(const Arrangement& arrangement);
  const StageOption* option(int first, const Piece& piece, int micro_batch);
  std::optional<StageOption> cheapest(int first, const Piece& piece,
                                      const Batching& batching) const;
  const Order& order_of(const std::vector<int>& lanes, std::int64_t micro_batches);
  bool fits(Stages stages, const std::vector<int>& lanes, const Batching& batching,
            const Order& order) const;

  const CostModel& model_;
  const SearchSpace& space_;
  const Candidate& seed_;
  const std::int64_t most_weighed_;
  std::int64_t weighed_ = 0;
  std::vector<LaneForm> forms_;
  Moves moves_;
  std::vector<int> order_;  ///< positions
  std::vector<int> cuts_;   ///< [layers of the order]; -1: not kept
  std::map<std::tuple<int, int, int, int>, std::optional<StageOption>> options_;
  std::map<std::pair<std::vector<int>, std::int64_t>, Order> orders_;
  std::vector<StageTimes> times_;
};

/// The seed, and its lanes in turns, each with the micro-batch of the seed.
std::vector<Arrangement> LocalSearch::starts() const {
  const auto same =
      std::find(space_.micro_batches.begin(), space_.micro_batches.end(), seed_.batching.full);
  const auto micro_batch = static_cast<int>(same - space_.micro_batches.begin());
  std::vector<Piece> own;
  int end = 0;
  for (std::size_t s = 0; s < seed_.stages.size(); ++s) {
    const StageShape& shape = seed_.stages[s].shape;
    end += model_.cuts().count(shape.last) - model_.cuts().count(shape.first);
    own.push_back({end, static_cast<int>(s)});
  }
  std::vector<Arrangement> result = {{own, micro_batch}};
  if (auto pieces = each_layer_where_it_is_fastest())
    result.push_back({std::move(*pieces), micro_batch});
  for (int turns = 2; turns <= kMostTurns; ++turns)
    if (auto pieces = in_turns(turns)) result.push_back({std::move(*pieces), micro_batch});
  return result;
}

std::optional<std::vector<Piece>> LocalSearch::each_layer_where_it_is_fastest() const {
  std::vector<Piece> result;
  for (int p = 0; p < layers(); ++p) {
    int fastest = 0;
    double least = kInfinity;
    for (int form = 0; form < static_cast<int>(forms_.size()); ++form) {
      const double ns = whole_ns(form, p, p + 1);
      if (ns < least) fastest = form;
      least = std::min(least, ns);
    }
    result.push_back({p + 1, fastest});
  }
  result = joined(result);
  if (static_cast<int>(result.size()) > space_.max_stages) return std::nullopt;
  return result;
}

/// Each lane has as much work in every turn, in all as much as it is fast.
std::optional<std::vector<Piece>> LocalSearch::in_turns(int turns) const {
  const int lanes = static_cast<int>(forms_.size()), pieces = lanes * turns;
  if (pieces > std::min(space_.max_stages, layers())) return std::nullopt;
  std::vector<double> speeds;
  for (int form = 0; form < lanes; ++form) speeds.push_back(1 / whole_ns(form, 0, layers()));
  double all = 0;
  for (const double speed : speeds) all += speed;
  if (!(all > 0) || std::isinf(all)) return std::nullopt;
  std::vector<Piece> result;
  int end = 0;
  for (int i = 0; i < pieces; ++i) {
    const int form = i % lanes, left = pieces - 1 - i, begin = end;
    const double wanted = 1 / (all * turns);  // ns of the lane, for its part of one turn
    for (++end; end < layers() - left; ++end)
      if (whole_ns(form, begin, end + 1) > wanted) break;
    result.push_back({left == 0 ? layers() : end, form});
  }
  return result;
}

/// Of a full micro-batch of the seed; infinity where the lane cannot run it.
double LocalSearch::whole_ns(int form, int first, int last) const {
  const auto found = cheapest(first, {last, form}, seed_.batching);
  return found ? found->cost.full.forward_ns + found->cost.full.backward_ns : kInfinity;
}

/// The first neighbour that is better, again and again.
std::optional<Candidate> LocalSearch::climb(Arrangement at) {
  std::optional<Candidate> best = weigh(at);
  for (bool better = true; better && !spent();) {
    better = false;
    for (Arrangement& next : neighbours(at, moves_)) {
      if (spent()) break;
      auto found = weigh(next);
      if (!found || (best && found->score_ns >= best->score_ns * kSameScore)) continue;
      best = std::move(found);
      at = std::move(next);
      better = true;
      break;
    }
  }
  return best;
}

std::optional<Candidate> LocalSearch::weigh(const Arrangement& arrangement) {
  ++weighed_;
  std::vector<const StageOption*> stages;
  int first = 0;
  for (const Piece& piece : arrangement.pieces) {
    stages.push_back(option(first, piece, arrangement.micro_batch));
    if (stages.back() == nullptr) return std::nullopt;
    first = piece.end;
  }
  const Batching step = batching(arrangement.micro_batch);
  const std::vector<int> lanes = lanes_of(arrangement.pieces);
  const Order& order = order_of(lanes, step.count);
  if (!fits(stages, lanes, step, order)) return std::nullopt;
  Candidate candidate{{}, lanes, step, order.schedule.name, 0, 0};
  if (period()) {
    candidate.value_ns = period_ns(stages, lanes);
    candidate.score_ns = candidate.value_ns * double(step.batch) / double(step.full);
  } else {
    fill_times(stages, step, false, times_);
    candidate.score_ns = candidate.value_ns = simulate_makespan_ns(order.schedule, times_);
  }
  for (const StageOption* stage : stages) candidate.stages.push_back(*stage);
  return candidate;
}

const StageOption* LocalSearch::option(int first, const Piece& piece, int micro_batch) {
  const auto [place, is_new] =
      options_.try_emplace(std::tuple(first, piece.end, piece.form, micro_batch));
  if (is_new) place->second = cheapest(first, piece, batching(micro_batch));
  return place->second ? &*place->second : nullptr;
}

/// Of the ways that the lane's workers can run it: by samples or by features.
std::optional<StageOption> LocalSearch::cheapest(int first, const Piece& piece,
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
    const double ns = period()
                          ? cost.load_ns
                          : double(step.count) * (cost.full.forward_ns + cost.full.backward_ns) +
                                cost.reduce_ns + cost.update_ns;
    if (ns >= least) continue;
    least = ns;
    best = StageOption{shape, shares, cost};
  }
  return best;
}

const LocalSearch::Order& LocalSearch::order_of(const std::vector<int>& lanes,
                                                std::int64_t micro_batches) {
  const auto [place, is_new] = orders_.try_emplace({lanes, micro_batches});
  if (is_new) {
    const bool shared = 1 + *std::max_element(lanes.begin(), lanes.end()) < int(lanes.size());
    const std::string name =
        shared && model_.profile().training ? "interleaved" : space_.schedules.front();
    place->second = {make_schedule(name, lanes, static_cast<int>(micro_batches)),
                     in_flight(name, lanes, micro_batches)};
  }
  return place->second;
}

bool LocalSearch::fits(Stages stages, const std::vector<int>& lanes, const Batching& step,
                       const Order& order) const {
  if (space_.memory_bytes && pipeline_bytes(stages, step, order.flights) > *space_.memory_bytes)
    return false;
  return !broken_budget(model_, stages, lanes, step, order.flights);
}

/// The best pipelines of several forms.
std::vector<Candidate> seeds(const CostModel& model, const SearchSpace& space) {
  SearchSpace pipelines = space;
  pipelines.pipelines_only = true;
  pipelines.forms = kSeeds;
  pipelines.most_work /= 4;
  SearchResult found = search_contiguous(model, pipelines);
  std::vector<Candidate> result;
  if (found.best) result.push_back(std::move(*found.best));
  for (Candidate& other : found.more) result.push_back(std::move(other));
  return result;
}

void take_best(const BestCandidates& best, SearchResult& found) {
  const std::vector<Candidate>& all = best.all();
  if (all.empty()) return;
  found.best = all.front();
  found.more.assign(all.begin() + 1, all.end());
}

}  // namespace

void search_any_cut(const CostModel& model, const SearchSpace& space, SearchResult& found) {
  BestCandidates best(space.forms);
  if (found.best) best.offer(*found.best);
  for (const Candidate& other : found.more) best.offer(other);
  std::int64_t left = kMostWeighed;
  for (const Candidate& seed : seeds(model, space)) {
    LocalSearch search(model, space, seed, left);
    for (Candidate& candidate : search.run()) best.offer(std::move(candidate));
    left -= search.weighed();
    found.candidates += search.weighed();
  }
  take_best(best, found);
  found.bound_score_ns = std::min(found.bound_score_ns, found.balance_score_ns);
  found.optimal = found.best && found.bound_score_ns >= found.best->score_ns * kSameScore;
  if (found.optimal) found.bound_score_ns = found.best->score_ns;
}

}  // namespace millrace
