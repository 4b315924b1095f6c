#include "framework/plan/any_cut.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "framework/plan/lane_options.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Actions that are simulated, with some for each arrangement: a few tenths of a second.
constexpr std::int64_t kMostWork = 8'000'000;
constexpr std::int64_t kWorkOfOne = 200;
/// Of the orders that are kept.
constexpr std::size_t kMostActions = 1'000'000;
/// Pipelines that are begun from, and how often lanes take turns.
constexpr int kPipelines = 4;
constexpr int kMostTurns = 4;
/// A move is made where the step gets shorter by a thousandth: more stages are more to hand over.
constexpr double kWorth = 0.999;
/// Up to so many devices one begins with a lane for each.
constexpr int kFewDevices = 4;

/// Where a search begins: sets of devices and an order of the layers; pieces are empty where the
/// sets are not given any yet.
struct Beginning {
  std::vector<LaneForm> forms;
  std::vector<int> order;
  Arrangement arrangement;
};

class LocalSearch {
 public:
  LocalSearch(const CostModel& model, const SearchSpace& space, const Beginning& beginning,
              std::int64_t most_work)
      : model_(model),
        space_(space),
        beginning_(beginning),
        most_work_(most_work),
        options_(model, space, beginning.forms, beginning.order),
        moves_{options_.forms(), space.max_stages, &space.micro_batches} {}

  /// The best from each start.
  std::vector<Candidate> run() {
    std::vector<Candidate> result;
    for (Arrangement& start : starts())
      if (auto found = climb(std::move(start))) result.push_back(std::move(*found));
    return result;
  }

  std::int64_t work() const { return work_; }
  std::int64_t weighed() const { return weighed_; }
  std::int64_t bytes() const {
    return options_.bytes() + static_cast<std::int64_t>(actions_ * sizeof(Action));
  }

 private:
  /// What depends on lanes and micro-batches alone.
  struct Order {
    Schedule schedule;
    std::vector<InFlight> flights;
  };

  bool period() const { return space_.objective == Objective::period; }
  bool spent() const { return work_ >= most_work_ || space_.out_of_time(); }

  std::vector<Arrangement> starts();
  std::optional<std::vector<Piece>> each_layer_where_it_is_fastest();
  std::optional<std::vector<Piece>> in_turns(int turns);
  std::optional<Candidate> climb(Arrangement at);
  std::optional<Candidate> weigh(const Arrangement& arrangement, double limit_ns);
  std::vector<const StageOption*> stages_of(const Arrangement& arrangement);
  double least_ns(Stages stages, const std::vector<int>& lanes, const Batching& step) const;
  const Order& order_of(const std::vector<int>& lanes, std::int64_t micro_batches);
  bool fits(Stages stages, const std::vector<int>& lanes, const Batching& step,
            const Order& order) const;

  const CostModel& model_;
  const SearchSpace& space_;
  const Beginning& beginning_;
  const std::int64_t most_work_;
  std::int64_t work_ = 0, weighed_ = 0;
  LaneOptions options_;
  const Moves moves_;
  std::map<std::pair<std::vector<int>, std::int64_t>, Order> orders_;
  std::size_t actions_ = 0;  ///< in orders_
  std::vector<StageTimes> times_;
};

/// As it begins, with each layer where it is fastest, and with the lanes in turns.
std::vector<Arrangement> LocalSearch::starts() {
  const Arrangement& own = beginning_.arrangement;
  std::vector<Arrangement> result;
  if (!own.pieces.empty()) result.push_back(own);
  if (auto pieces = each_layer_where_it_is_fastest())
    result.push_back({std::move(*pieces), own.micro_batch});
  for (int turns = own.pieces.empty() ? 1 : 2; turns <= kMostTurns; ++turns)
    if (auto pieces = in_turns(turns)) result.push_back({std::move(*pieces), own.micro_batch});
  return result;
}

std::optional<std::vector<Piece>> LocalSearch::each_layer_where_it_is_fastest() {
  std::vector<Piece> result;
  for (int p = 0; p < options_.layers(); ++p) {
    Piece fastest{p + 1, 0};
    double least = kInfinity;
    for (int form = 0; form < options_.forms(); ++form) {
      const double ns = options_.ns(p, {p + 1, form}, beginning_.arrangement.micro_batch);
      if (ns < least) fastest.form = form;
      least = std::min(least, ns);
    }
    result.push_back(fastest);
  }
  result = joined(result);
  if (static_cast<int>(result.size()) > space_.max_stages) return std::nullopt;
  return result;
}

/// Each lane has as much work in every turn, in all as much as it is fast.
std::optional<std::vector<Piece>> LocalSearch::in_turns(int turns) {
  const int lanes = options_.forms(), pieces = lanes * turns, layers = options_.layers();
  if (pieces > std::min(space_.max_stages, layers)) return std::nullopt;
  const auto ns = [&](int form, int first, int last) {
    return options_.ns(first, {last, form}, beginning_.arrangement.micro_batch);
  };
  double speed = 0;  // of all lanes
  for (int form = 0; form < lanes; ++form) speed += 1 / ns(form, 0, layers);
  if (!(speed > 0) || std::isinf(speed)) return std::nullopt;
  std::vector<Piece> result;
  int end = 0;
  for (int i = 0; i < pieces; ++i) {
    const int form = i % lanes, left = pieces - 1 - i, begin = end;
    for (++end; end < layers - left; ++end)
      if (ns(form, begin, end + 1) > 1 / (speed * turns)) break;
    result.push_back({left == 0 ? layers : end, form});
  }
  return result;
}

/// The first neighbour that is better, again and again.
std::optional<Candidate> LocalSearch::climb(Arrangement at) {
  std::optional<Candidate> best = weigh(at, kInfinity);
  for (bool better = true; better && !spent();) {
    better = false;
    for (Arrangement& next : neighbours(at, moves_)) {
      if (spent()) break;
      auto found = weigh(next, best ? best->score_ns * kWorth : kInfinity);
      if (!found) continue;
      best = std::move(found);
      at = std::move(next);
      better = true;
      break;
    }
  }
  return best;
}

/// Nothing where it cannot run, does not fit, or is not below the limit.
std::optional<Candidate> LocalSearch::weigh(const Arrangement& arrangement, double limit_ns) {
  ++weighed_;
  work_ += kWorkOfOne;
  const auto stages = stages_of(arrangement);
  const Batching step = options_.batching(arrangement.micro_batch);
  const std::vector<int> lanes = lanes_of(arrangement.pieces);
  if (stages.empty() || count_lanes(lanes) < 2) return std::nullopt;  // one lane: a single stage
  const double per_step = period() ? double(step.batch) / double(step.full) : 1;
  const double least = per_step * least_ns(stages, lanes, step);
  if (least >= limit_ns) return std::nullopt;
  const Order& order = order_of(lanes, step.count);
  if (!fits(stages, lanes, step, order)) return std::nullopt;
  Candidate candidate{{}, lanes, step, order.schedule.name, least / per_step, least};
  if (!period()) {
    work_ += 2 * step.count * std::ssize(stages);
    fill_times(stages, step, false, times_);
    candidate.score_ns = candidate.value_ns = simulate_makespan_ns(order.schedule, times_);
    if (candidate.score_ns >= limit_ns) return std::nullopt;
  }
  for (const StageOption* stage : stages) candidate.stages.push_back(*stage);
  return candidate;
}

/// Empty where a lane cannot run its part.
std::vector<const StageOption*> LocalSearch::stages_of(const Arrangement& arrangement) {
  std::vector<const StageOption*> stages;
  int first = 0;
  for (const Piece& piece : arrangement.pieces) {
    stages.push_back(options_.get(first, piece, arrangement.micro_batch));
    if (stages.back() == nullptr) return {};
    first = piece.end;
  }
  return stages;
}

/// The busiest lane's work; objective period: exactly.
double LocalSearch::least_ns(Stages stages, const std::vector<int>& lanes,
                             const Batching& step) const {
  if (period()) return period_ns(stages, lanes);
  std::vector<double> work(lanes.size(), 0);
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageCost& cost = stages[s]->cost;
    work[static_cast<std::size_t>(lanes[s])] +=
        double(step.count - 1) * (cost.full.forward_ns + cost.full.backward_ns) +
        cost.rest.forward_ns + cost.rest.backward_ns + cost.reduce_ns + cost.update_ns;
  }
  return *std::max_element(work.begin(), work.end());
}

const LocalSearch::Order& LocalSearch::order_of(const std::vector<int>& lanes,
                                                std::int64_t micro_batches) {
  if (actions_ > kMostActions) {
    orders_.clear();
    actions_ = 0;
  }
  const auto [place, is_new] = orders_.try_emplace({lanes, micro_batches});
  if (is_new) {
    const std::string name =
        shares_lanes(lanes) && model_.profile().training ? "interleaved" : space_.schedules.front();
    Schedule schedule = make_schedule(name, lanes, static_cast<int>(micro_batches));
    place->second.flights = in_flight(schedule);
    place->second.schedule = std::move(schedule);
    for (const auto& actions : place->second.schedule.actions) actions_ += actions.size();
    work_ += 8 * micro_batches * std::ssize(lanes);
  }
  return place->second;
}

bool LocalSearch::fits(Stages stages, const std::vector<int>& lanes, const Batching& step,
                       const Order& order) const {
  if (space_.memory_bytes && pipeline_bytes(stages, step, order.flights) > *space_.memory_bytes)
    return false;
  return !broken_budget(model_, stages, lanes, step, order.flights);
}

/// Of a pipeline that was found.
Beginning beginning_of(const CostModel& model, const SearchSpace& space, const Candidate& found) {
  Beginning result;
  for (const StageOption& stage : found.stages) {
    const StageShape& shape = stage.shape;
    model.cuts().visit_members(shape.first, shape.last,
                               [&](int position) { result.order.push_back(position); });
    result.arrangement.pieces.push_back(
        {static_cast<int>(result.order.size()), static_cast<int>(result.forms.size())});
    result.forms.push_back({shape.state, shape.width, shape.recompute});
  }
  const auto same =
      std::find(space.micro_batches.begin(), space.micro_batches.end(), found.batching.full);
  result.arrangement.micro_batch = static_cast<int>(same - space.micro_batches.begin());
  return result;
}

/// Lanes of the devices of each kind, as replicas or (threads) as one worker; or of one device
/// each. With about two micro-batches for every lane.
Beginning beginning_of(const CostModel& model, const SearchSpace& space, bool threads, bool single,
                       bool recompute) {
  const DeviceStates& states = model.states();
  Beginning result;
  for (int p = 0; p < model.layers(); ++p) result.order.push_back(p);
  for (int kind = 0; kind < states.kinds(); ++kind) {
    const int all = states.count(states.all(), kind), each = single ? 1 : all;
    for (int taken = 0; taken < all; taken += each)
      result.forms.push_back({states.state_of(kind, each), threads ? each : 1, recompute});
  }
  const auto lanes = static_cast<std::int64_t>(result.forms.size());
  const auto place = std::find_if(space.micro_batches.begin(), space.micro_batches.end() - 1,
                                  [&](std::int64_t b) { return 2 * lanes * b <= space.batch; });
  result.arrangement.micro_batch = static_cast<int>(place - space.micro_batches.begin());
  return result;
}

/// The best pipelines of several forms, of few cuts. What they took is added to `found`.
std::vector<Candidate> pipelines(const CostModel& model, const SearchSpace& space,
                                 SearchResult& found) {
  SearchSpace few = space;
  few.pipelines_only = true;
  few.schedules.resize(1);
  few.forms = kPipelines;
  few.most_work /= 8;
  few.time_share *= 0.75;
  SearchResult result = search_contiguous(model, few);
  found.candidates += result.candidates;
  found.states += result.states;
  found.peak_bytes = std::max(found.peak_bytes, result.peak_bytes);
  if (result.best) result.more.push_back(std::move(*result.best));
  return std::move(result.more);
}

std::vector<Beginning> beginnings(const CostModel& model, const SearchSpace& space,
                                  SearchResult& found) {
  std::vector<Beginning> result;
  const auto take = [&](Beginning beginning) {
    const bool known = std::any_of(result.begin(), result.end(), [&](const Beginning& other) {
      return other.forms == beginning.forms &&
             other.arrangement.pieces == beginning.arrangement.pieces;
    });
    if (!known && beginning.forms.size() > 1) result.push_back(std::move(beginning));
  };
  for (const Candidate& pipeline : pipelines(model, space, found))
    take(beginning_of(model, space, pipeline));
  const bool few = model.states().devices(model.states().all()) <= kFewDevices;
  for (const bool recompute : {false, true}) {
    if (!(recompute ? space.stage.recomputed : space.stage.plain)) continue;
    for (const bool threads : {false, true})
      take(beginning_of(model, space, threads, false, recompute));
    if (few) take(beginning_of(model, space, false, true, recompute));
  }
  return result;
}

}  // namespace

void search_any_cut(const CostModel& model, const SearchSpace& space, SearchResult& found) {
  BestCandidates best(space.forms);
  if (found.best) best.offer(*found.best);
  for (const Candidate& other : found.more) best.offer(other);
  std::int64_t left = kMostWork;
  for (const Beginning& beginning : beginnings(model, space, found)) {
    LocalSearch search(model, space, beginning, left);
    for (Candidate& candidate : search.run()) best.offer(std::move(candidate));
    left -= search.work();
    found.candidates += search.weighed();
    found.peak_bytes = std::max(found.peak_bytes, search.bytes());
  }
  if (best.all().empty()) return;
  found.best = best.all().front();
  found.more.assign(best.all().begin() + 1, best.all().end());
  found.bound_score_ns = std::min(found.bound_score_ns, found.balance_score_ns);
  found.optimal = found.bound_score_ns >= found.best->score_ns * kSameScore;
  if (found.optimal) found.bound_score_ns = found.best->score_ns;
}

}  // namespace millrace
