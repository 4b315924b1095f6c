#include "framework/plan/search.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "framework/plan/any_cut.hpp"
#include "framework/plan/counting_memory.hpp"
#include "framework/plan/prefix.hpp"
#include "framework/plan/rest_table.hpp"
#include "framework/plan/stage_bound.hpp"

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// By how much the first limit is above the lowest bound; each limit that follows is so many
/// times as far.
constexpr double kFirstStep = 0.01, kNextStep = 9;
constexpr double kLastStep = 100;

class Search {
 public:
  Search(const CostModel& model, const SearchSpace& space)
      : model_(model),
        space_(space),
        bound_(&memory_),
        stage_bound_(model, &memory_),
        options_(model, space.stage, &memory_),
        rests_(model, space, bound_, stage_bound_, options_, &memory_),
        prefixes_(model, space, bound_, stage_bound_, rests_),
        best_(space.forms) {}

  SearchResult run() {
    weigh_single_stages();
    if (!best_.all().empty()) result_.best_sole = best_.all().front();
    if (space_.pipelines_only) best_ = BestCandidates(space_.forms);
    weigh_pipelines();
    finish();
    return std::move(result_);
  }

 private:
  struct BoundedMicroBatch {
    std::int64_t samples;
    LeastWork work;
    double bound_ns;
  };

  double limit() const { return std::min(limit_, best_.limit_ns()); }
  bool period() const { return space_.objective == Objective::period; }
  /// In about the time of one stage option.
  std::int64_t work() const {
    constexpr std::int64_t kCheap = 1024;  // a bound, or a look at the table
    return options_.made() + result_.candidates + (looks_ + rests_.looked_at()) / kCheap;
  }
  bool stopped();

  BackwardForms forms_of(std::int64_t micro_batch) const;
  LeastWork work_of(std::int64_t micro_batch, bool sole) const;
  void weigh_single_stages();
  void weigh_pipelines();
  std::vector<BoundedMicroBatch> bounded_micro_batches();
  std::vector<int> spread_cuts() const;
  std::vector<int> order_cuts() const;
  std::vector<int> all_cuts() const;
  void raise_limit(const std::vector<BoundedMicroBatch>& micro_batches);
  void weigh_below_limit(const BoundedMicroBatch& micro_batch);
  void extend(const Prefix& prefix);
  void extend_with(const Prefix& prefix, int part, int last);
  void close(const Prefix& prefix);
  void close_on(const Prefix& prefix, int part);
  const Schedule& schedule_of(const std::string& name);
  bool is_worth(const std::string& schedule) const;
  void weigh_complete();
  void keep(const std::string& schedule, double value, double score);
  void finish();

  const CostModel& model_;
  const SearchSpace& space_;
  CountingMemory memory_;
  BalanceBound bound_;
  StageBound stage_bound_;
  StageOptions options_;
  RestTable rests_;
  PrefixBounds prefixes_;
  SearchResult result_;
  BestCandidates best_;
  double limit_ = kInfinity;  // what is not below is not looked at yet
  double proved_ = 0;         // no pipeline is below
  bool stopped_ = false;
  std::int64_t weighed_ = 0, looks_ = 0, most_work_ = 0;
  std::vector<int> cuts_;  // ascending: where stages may meet now
  std::vector<const StageOption*> chosen_;
  std::map<std::pair<std::string, std::size_t>, Schedule> schedules_;  // of the current batching
  std::vector<StageTimes> times_;
};

bool Search::stopped() {
  constexpr std::int64_t kLooks = 64;  // a clock is slower than a bound
  if (work() > most_work_) stopped_ = true;
  if (++looks_ % kLooks == 0 && space_.out_of_time()) stopped_ = true;
  return stopped_;
}

/// Where the weights' gradients run apart, stage s makes those of all but min(M, s + 1)
/// micro-batches before its last backward.
BackwardForms Search::forms_of(std::int64_t micro_batch) const {
  BackwardForms forms = space_.backward_forms();
  const Batching batching(space_.batch, micro_batch);
  const int stages = prefixes_.most_stages({0, model_.states().all()}, 0);
  const std::int64_t early = std::max<std::int64_t>(0, batching.count - stages);
  forms.early_weights = double(early * batching.full) / double(batching.batch);
  return forms;
}

LeastWork Search::work_of(std::int64_t micro_batch, bool sole) const {
  const BackwardForms forms = sole ? space_.backward_forms() : forms_of(micro_batch);
  return least_work(model_, space_.batch, micro_batch, sole, forms);
}

/// Micro-batch sizes are tried from the largest: of equal plans the one with fewer tasks stays.
void Search::weigh_single_stages() {
  bound_.choose_weights(model_, work_of(space_.micro_batches.front(), true));
  for (const std::int64_t micro_batch : space_.micro_batches) {
    const LeastWork work = work_of(micro_batch, true);
    options_.reset(Batching(space_.batch, micro_batch), true);
    schedules_.clear();
    for (int part = 1; part <= model_.states().all(); ++part)
      if (bound_.whole_ns(model_, work, part, !period()) < limit())
        close_on({0, model_.states().all()}, part);
  }
}

/// The most promising first.
std::vector<Search::BoundedMicroBatch> Search::bounded_micro_batches() {
  std::vector<BoundedMicroBatch> result;
  for (const std::int64_t micro_batch : space_.micro_batches) {
    LeastWork work = work_of(micro_batch, false);
    double bound = bound_.whole_ns(model_, work, model_.states().all(), !period());
    if (!period() && bound < best_.limit_ns() && !space_.out_of_time()) {
      const Batching batching(space_.batch, micro_batch);
      const RoundTrip trip = stage_bound_.whole_trip(batching, forms_of(micro_batch));
      bound = std::max({bound, trip.full_ns, trip.last_ns});
    }
    result.push_back({micro_batch, std::move(work), bound});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const auto& a, const auto& b) { return a.bound_ns < b.bound_ns; });
  return result;
}

/// First with few cuts, then with more: the best plan among the few is a close limit for the rest,
/// and is there when the search ends early.
void Search::weigh_pipelines() {
  if (prefixes_.most_stages({0, model_.states().all()}, 0) < 2) {
    proved_ = kInfinity;
    return;
  }
  bound_.choose_weights(model_, work_of(space_.micro_batches.front(), false));
  const auto micro_batches = bounded_micro_batches();
  result_.balance_score_ns = micro_batches.front().bound_ns;
  bound_.set_work(model_, micro_batches.front().work);
  const std::vector<std::vector<int>> rounds = {spread_cuts(), order_cuts(), all_cuts()};
  std::int64_t share = 4;  // of the work: a quarter, a half, all
  for (const auto& cuts : rounds) {
    if (space_.pipelines_only && &cuts != &rounds.front()) break;  // beginnings of others
    most_work_ = space_.most_work / share;
    share /= 2;
    if (cuts.size() == cuts_.size()) continue;
    cuts_ = cuts;
    most_work_ = cuts_.size() == rounds.back().size() ? space_.most_work : most_work_;
    raise_limit(micro_batches);
  }
  if (!model_.cuts().complete()) proved_ = micro_batches.front().bound_ns;
}

/// Of the graph's order alone.
std::vector<int> Search::order_cuts() const {
  std::vector<int> result;
  for (int p = 0; p <= model_.layers(); ++p) result.push_back(model_.cuts().prefix(p));
  return result;
}

/// Some of these, about equal work apart (of the micro-batches that the bound was last set for),
/// where they are many.
std::vector<int> Search::spread_cuts() const {
  constexpr int kPieces = 48;
  if (model_.layers() < 2 * kPieces) return order_cuts();
  const int all = model_.states().all();
  const double piece_ns = bound_.compute_ns(all, 0, model_.cuts().all()) / kPieces;
  std::vector<int> result{0};
  for (const int cut : order_cuts()) {
    if (cut > 0 && bound_.compute_ns(all, result.back(), cut) >= piece_ns) result.push_back(cut);
  }
  if (result.back() != model_.cuts().all()) result.push_back(model_.cuts().all());
  return result;
}

std::vector<int> Search::all_cuts() const {
  std::vector<int> result(static_cast<std::size_t>(model_.cuts().size()));
  std::iota(result.begin(), result.end(), 0);
  return result;
}

/// Looks below a limit that is close to the bounds, so that little is worth a look, then below
/// higher ones: once a plan is below the limit, none is left out that is better.
void Search::raise_limit(const std::vector<BoundedMicroBatch>& micro_batches) {
  const double lowest = micro_batches.front().bound_ns;
  stopped_ = false;
  proved_ = lowest;
  for (double step = kFirstStep; proved_ < best_.limit_ns(); step *= kNextStep) {
    const bool last = lowest == 0 || step > kLastStep;
    limit_ = last ? best_.limit_ns() : std::min(lowest * (1 + step), best_.limit_ns());
    for (const BoundedMicroBatch& micro_batch : micro_batches) {
      if (micro_batch.bound_ns < limit()) weigh_below_limit(micro_batch);
      if (stopped_) return;
    }
    proved_ = limit_;
  }
}

void Search::weigh_below_limit(const BoundedMicroBatch& micro_batch) {
  const Batching batching(space_.batch, micro_batch.samples);
  bound_.set_work(model_, micro_batch.work);
  if (!period()) stage_bound_.set(batching, forms_of(micro_batch.samples));
  options_.reset(batching, false);
  schedules_.clear();
  if (rests_.fill(cuts_, limit(), [this] { return stopped(); })) extend({0, model_.states().all()});
}

/// Adds a stage that is not the last one, in every way that may still beat the best plan.
void Search::extend(const Prefix& prefix) {
  const DeviceStates& states = model_.states();
  for (int part = 1; part < prefix.state_left; ++part) {
    if (stopped()) return;
    if (!states.contains(prefix.state_left, part)) continue;
    for (const int last : rests_.cuts(prefix.state_left - part)) {
      if (stopped()) return;
      if (last <= prefix.cut) break;  // they descend
      if (last == model_.cuts().all() || !model_.cuts().within(prefix.cut, last)) continue;
      if (chosen_.empty()) options_.forget_above(StageOptions::kMany);
      if (prefixes_.cut_ns(prefix, part, last) < limit()) extend_with(prefix, part, last);
    }
  }
}

void Search::extend_with(const Prefix& prefix, int part, int last) {
  for (const StageOption& option : options_.get(prefix.cut, last, part)) {
    ++weighed_;
    chosen_.push_back(&option);
    const Prefix next = prefixes_.with_stage(prefix, chosen_, options_.batching());
    if (next.bound_ns < limit() && prefixes_.may_fit(next, chosen_, options_.batching())) {
      close(next);
      const int more = prefixes_.most_stages(next, chosen_.size());
      if (static_cast<int>(chosen_.size()) + 1 < more) extend(next);
    }
    chosen_.pop_back();
  }
}

/// Adds the last stage, on any of the devices that are left.
void Search::close(const Prefix& prefix) {
  for (int part = 1; part <= prefix.state_left; ++part)
    if (model_.states().contains(prefix.state_left, part) &&
        prefixes_.last_ns(prefix, part) < limit())
      close_on(prefix, part);
}

/// All layers that are left on these devices.
void Search::close_on(const Prefix& prefix, int part) {
  for (const StageOption& option : options_.get(prefix.cut, model_.cuts().all(), part)) {
    chosen_.push_back(&option);
    const Prefix whole = prefixes_.with_stage(prefix, chosen_, options_.batching());
    ++result_.candidates;
    if (whole.bound_ns < limit() && prefixes_.may_fit(whole, chosen_, options_.batching()))
      weigh_complete();
    chosen_.pop_back();
  }
}

const Schedule& Search::schedule_of(const std::string& name) {
  const auto [place, is_new] = schedules_.try_emplace({name, chosen_.size()});
  if (is_new) {
    place->second = make_schedule(name, static_cast<int>(chosen_.size()),
                                  static_cast<int>(options_.batching().count));
  }
  return place->second;
}

/// One stage has no bubbles to fill, and the backward part apart takes no less time and memory.
bool Search::is_worth(const std::string& schedule) const {
  return chosen_.size() > 1 || space_.schedules.size() == 1 || !splits_backward(schedule);
}

void Search::weigh_complete() {
  const Batching& batching = options_.batching();
  std::optional<bool> filled;  // for which form of the backward part
  for (const std::string& name : space_.schedules) {
    if (!is_worth(name) || !prefixes_.fits(chosen_, batching, name)) continue;
    const bool apart = splits_backward(name);
    if (!period() && filled != apart) fill_times(chosen_, batching, apart, times_);
    filled = apart;
    const double value =
        period() ? period_ns(chosen_) : simulate_makespan_ns(schedule_of(name), times_);
    keep(name, value, period() ? value * double(batching.batch) / double(batching.full) : value);
  }
}

void Search::keep(const std::string& schedule, double value, double score) {
  if (score >= best_.limit_ns()) return;
  Candidate candidate{
      {}, own_lanes(static_cast<int>(chosen_.size())), options_.batching(), schedule, value, score};
  for (const StageOption* option : chosen_) candidate.stages.push_back(*option);
  best_.offer(std::move(candidate));
}

void Search::finish() {
  result_.states = weighed_ + rests_.entries();
  result_.peak_bytes = memory_.peak_bytes();
  result_.bound_score_ns = proved_;
  if (best_.all().empty()) return;
  const double best = best_.all().front().score_ns;
  proved_ = std::min(proved_, options_.other_choice_ns());
  result_.optimal = proved_ >= best * kSameScore;
  result_.bound_score_ns = result_.optimal ? best : proved_;
  result_.best = best_.all().front();
  result_.more.assign(best_.all().begin() + 1, best_.all().end());
}

}  // namespace

SearchResult search(const CostModel& model, const SearchSpace& space) {
  if (!space.any_cut) return search_contiguous(model, space);
  SearchSpace first = space;
  first.time_share /= 2;
  SearchResult result = search_contiguous(model, first);
  search_any_cut(model, space, result);
  return result;
}

SearchResult search_contiguous(const CostModel& model, const SearchSpace& space) {
  return Search(model, space).run();
}

SearchReport report_of(const SearchResult& found, const CostModel& model) {
  SearchReport report;
  report.candidates = found.candidates;
  report.ideals = model.cuts().size();
  report.states = found.states;
  report.peak_bytes = found.peak_bytes + model.bytes();
  return report;
}

}  // namespace millrace
