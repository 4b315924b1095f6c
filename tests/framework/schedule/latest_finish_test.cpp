// What it would be worth to choose a stage's next action by its latest finish time, instead of in a
// schedule's order: the numbers of docs/decisions/0023.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <random>
#include <vector>

#include "millrace/schedule.hpp"

namespace millrace {
namespace {

struct Pipeline {
  int stages = 1, micro_batches = 1;
  std::vector<double> forward_ns, backward_ns, weight_ns;  ///< by stage

  std::vector<StageTimes> times(bool apart) const {
    std::vector<StageTimes> result(forward_ns.size());
    for (std::size_t s = 0; s < result.size(); ++s) {
      result[s].forward_ns = {forward_ns[s]};
      result[s].backward_ns = {backward_ns[s] + (apart ? 0 : weight_ns[s])};
      if (apart) result[s].weight_gradient_ns = {weight_ns[s]};
    }
    return result;
  }
  double makespan_ns(const char* schedule) const {
    return simulate_makespan_ns(make_schedule(schedule, stages, micro_batches),
                                times(splits_backward(schedule)));
  }
};

/// List scheduling: a stage that is free takes, of the actions whose inputs are there, the one with
/// the earliest latest finish time, which is the one with the longest path behind it. It keeps as
/// many activations as 1F1B (`apart`: as zero-bubble), and takes micro-batches in ascending order.
class ListScheduling {
 public:
  ListScheduling(const Pipeline& pipeline, bool apart) : p_(pipeline), apart_(apart) {
    for (int s = 0; s < p_.stages; ++s)
      for (int m = 0; m < p_.micro_batches; ++m)
        for (const int kind : {kForward, kBackward, kWeight}) actions_.push_back({s, m, kind});
    for (Action& action : actions_) connect(action);
    for (Action& action : actions_) path_behind(action);
  }

  double makespan_ns() {
    double now = 0;
    while (true) {
      for (int s = 0; s < p_.stages; ++s)
        if (Action* next = next_of(s)) begin(*next, now);
      if (running_.empty()) break;
      now = (*std::min_element(running_.begin(), running_.end(), ends_before))->end_ns;
      const auto ended = std::partition(running_.begin(), running_.end(),
                                        [now](const Action* a) { return a->end_ns > now; });
      std::for_each(ended, running_.end(), [](Action* a) { end(*a); });
      running_.erase(ended, running_.end());
    }
    for (const Action& action : actions_) EXPECT_TRUE(action.begun) << "deadlock";
    return now;
  }

 private:
  enum Kind { kForward, kBackward, kWeight };
  struct Action {
    int stage = 0, micro_batch = 0, kind = kForward;
    std::vector<Action*> next = {};
    int waits_for = 0;
    bool begun = false;
    std::optional<double> path_ns = {};
    double end_ns = 0;
  };

  static bool ends_before(const Action* a, const Action* b) { return a->end_ns < b->end_ns; }
  Action& at(int stage, int micro_batch, int kind) {
    return actions_[static_cast<std::size_t>((stage * p_.micro_batches + micro_batch) * 3 + kind)];
  }
  void connect(Action& a) {
    const auto before = [&](Action& b) {
      a.next.push_back(&b);
      ++b.waits_for;
    };
    if (a.micro_batch + 1 < p_.micro_batches) before(at(a.stage, a.micro_batch + 1, a.kind));
    if (a.kind == kForward && a.stage + 1 < p_.stages)
      before(at(a.stage + 1, a.micro_batch, kForward));
    if (a.kind == kForward) before(at(a.stage, a.micro_batch, kBackward));
    if (a.kind == kBackward && a.stage > 0) before(at(a.stage - 1, a.micro_batch, kBackward));
    if (a.kind == kBackward) before(at(a.stage, a.micro_batch, kWeight));
  }
  double duration_ns(const Action& a) const {
    const auto s = static_cast<std::size_t>(a.stage);
    if (a.kind == kForward) return p_.forward_ns[s];
    if (a.kind == kBackward) return p_.backward_ns[s] + (apart_ ? 0 : p_.weight_ns[s]);
    return apart_ ? p_.weight_ns[s] : 0;
  }
  double path_behind(Action& a) {
    if (a.path_ns) return *a.path_ns;
    double longest = 0;
    for (Action* next : a.next) longest = std::max(longest, path_behind(*next));
    a.path_ns = longest + duration_ns(a);
    return *a.path_ns;
  }
  /// Begun ones of `kind` on the stage whose `until` has not ended.
  int open(int stage, int kind, int until) {
    int count = 0;
    for (int m = 0; m < p_.micro_batches; ++m)
      count += at(stage, m, kind).begun && !has_ended(at(stage, m, until)) ? 1 : 0;
    return count;
  }
  bool has_ended(const Action& a) const {
    return a.begun && std::find(running_.begin(), running_.end(), &a) == running_.end();
  }
  bool fits(const Action& a) {
    if (a.kind == kForward) return open(a.stage, kForward, kBackward) < p_.stages - a.stage;
    if (a.kind == kBackward && apart_)
      return open(a.stage, kBackward, kWeight) < std::min(p_.micro_batches, a.stage + 1);
    return true;
  }
  Action* next_of(int stage) {
    for (const Action* running : running_)
      if (running->stage == stage) return nullptr;
    Action* best = nullptr;
    for (int m = 0; m < p_.micro_batches; ++m)
      for (const int kind : {kWeight, kBackward, kForward}) {
        Action& a = at(stage, m, kind);
        if (a.begun || a.waits_for > 0 || !fits(a)) continue;
        if (best == nullptr || *a.path_ns > *best->path_ns) best = &a;
      }
    return best;
  }
  void begin(Action& a, double now) {
    a.begun = true;
    a.end_ns = now + duration_ns(a);
    running_.push_back(&a);
  }
  static void end(Action& a) {
    for (Action* next : a.next) --next->waits_for;
  }

  const Pipeline& p_;
  const bool apart_;
  std::vector<Action> actions_;
  std::vector<Action*> running_;
};

/// Times of stages differ by up to `spread`; B and W take 0.7 to 1.3 F each.
Pipeline random_pipeline(std::mt19937& random, double spread) {
  Pipeline p{2 + static_cast<int>(random() % 5), 1 + static_cast<int>(random() % 16), {}, {}, {}};
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int s = 0; s < p.stages; ++s) {
    p.forward_ns.push_back(1000 * std::pow(spread, uniform(random)));
    p.backward_ns.push_back(p.forward_ns.back() * (0.7 + 0.6 * uniform(random)));
    p.weight_ns.push_back(p.forward_ns.back() * (0.7 + 0.6 * uniform(random)));
  }
  return p;
}

TEST(LatestFinish, GainsLittleOverTheSchedulesOfTheSameMemory) {
  for (const double spread : {1.0, 3.0, 100.0}) {
    std::mt19937 random(1);
    constexpr int kPipelines = 1000;
    double gains = 0, most = 0, ratios = 0;
    for (int i = 0; i < kPipelines; ++i) {
      const Pipeline p = random_pipeline(random, spread);
      const double ordered = std::min(p.makespan_ns("1f1b"), p.makespan_ns("zero-bubble"));
      const double listed =
          std::min(ListScheduling(p, false).makespan_ns(), ListScheduling(p, true).makespan_ns());
      const double gain = std::max(0.0, 1 - listed / ordered);
      gains += gain;
      most = std::max(most, gain);
      ratios += listed / ordered;
    }
    std::printf(
        "stages that differ by up to %g: the best of three %.2f %% shorter in the mean, at "
        "most %.1f %%; latest finish alone takes %.3f times as long\n",
        spread, 100 * gains / kPipelines, 100 * most, ratios / kPipelines);
    EXPECT_GT(most, 0.05) << "nothing was ever gained: is the list scheduled at all?";
    EXPECT_LT(gains / kPipelines, 0.005);
    EXPECT_NEAR(ratios / kPipelines, 1, 0.02) << "the list is scheduled badly";
  }
}

}  // namespace
}  // namespace millrace
