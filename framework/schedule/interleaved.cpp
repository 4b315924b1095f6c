#include "framework/schedule/interleaved.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <tuple>
#include <utility>

namespace millrace {
namespace {

/// What every lane takes for a micro-batch, each way: of up to 16 stages equal parts of it.
constexpr std::int64_t kLaneTime = 720'720;

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

struct Pass {
  int stage = 0, micro_batch = 0;
};

struct Lane {
  std::vector<Pass> forwards, backwards;  ///< in the order in which they are run
  std::size_t forwards_done = 0, backwards_done = 0;
  std::size_t ahead = 0;         ///< forwards without their backward, at most
  std::int64_t duration = 0;     ///< of a pass of one of its stages
  std::int64_t free_at = 0;      ///< when its last pass ends
  bool forward_was_last = true;  ///< for the choice between the two
  std::vector<Action> actions;
};

/// A pass that a lane can begin.
struct Choice {
  std::int64_t begin = kNever;
  bool repeats = false;  ///< the kind that the lane ran last
  bool forward = false;
  std::size_t lane = 0;

  auto key() const { return std::tuple(begin, repeats, lane, forward); }
};

class ListScheduling {
 public:
  ListScheduling(const std::vector<int>& lanes, int micro_batches, bool backward)
      : lane_of_(lanes), micro_batches_(micro_batches), backward_(backward) {
    make_lanes();
    forward_ready_.assign(lanes.size() * M(), kNever);
    backward_ready_ = forward_ready_;
    std::fill_n(forward_ready_.begin(), M(), 0);
  }

  std::vector<std::vector<Action>> run() {
    const std::size_t passes = lane_of_.size() * M() * (backward_ ? 2 : 1);
    for (std::size_t done = 0; done < passes; ++done) run(next());
    std::vector<std::vector<Action>> result;
    for (Lane& lane : lanes_) result.push_back(std::move(lane.actions));
    return result;
  }

 private:
  std::size_t M() const { return static_cast<std::size_t>(micro_batches_); }

  std::vector<int> stages_of(int lane) const {
    std::vector<int> stages;
    for (std::size_t s = 0; s < lane_of_.size(); ++s)
      if (lane_of_[s] == lane) stages.push_back(static_cast<int>(s));
    return stages;
  }

  void make_lanes() {
    const int count = count_lanes(lane_of_);
    for (int l = 0; l < count; ++l) lanes_.push_back(make_lane(stages_of(l), count));
  }

  Lane make_lane(const std::vector<int>& stages, int lot) const {
    Lane lane;
    lane.duration = kLaneTime / static_cast<std::int64_t>(stages.size());
    for (int first = 0; first < micro_batches_; first += lot) {
      const int last = std::min(first + lot, micro_batches_);
      for (const int stage : stages)
        for (int m = first; m < last; ++m) lane.forwards.push_back({stage, m});
      for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage)
        for (int m = first; m < last; ++m) lane.backwards.push_back({*stage, m});
    }
    const int before = (static_cast<int>(stages.size()) - 1) * std::min(lot, micro_batches_);
    const int behind = static_cast<int>(lane_of_.size()) - 1 - stages.back();
    lane.ahead = static_cast<std::size_t>(before + 1 + (shares_lanes(lane_of_) ? 2 : 1) * behind);
    return lane;
  }

  std::int64_t& ready(std::vector<std::int64_t>& times, Pass pass) const {
    return times[static_cast<std::size_t>(pass.stage) * M() +
                 static_cast<std::size_t>(pass.micro_batch)];
  }

  /// The soonest pass; where no lane may go further ahead, the soonest forward all the same.
  Choice next() {
    Choice best, beyond;
    const auto take = [](Choice& from, const Choice& other) {
      if (other.key() < from.key()) from = other;
    };
    for (std::size_t l = 0; l < lanes_.size(); ++l) {
      const Lane& lane = lanes_[l];
      if (backward_ && lane.backwards_done < lane.backwards.size())
        take(best, choice(l, false, ready(backward_ready_, lane.backwards[lane.backwards_done])));
      if (lane.forwards_done == lane.forwards.size()) continue;
      const bool full = backward_ && lane.forwards_done - lane.backwards_done >= lane.ahead;
      take(full ? beyond : best,
           choice(l, true, ready(forward_ready_, lane.forwards[lane.forwards_done])));
    }
    return best.begin != kNever ? best : beyond;
  }

  Choice choice(std::size_t l, bool forward, std::int64_t ready_at) const {
    const std::int64_t begin = ready_at == kNever ? kNever : std::max(ready_at, lanes_[l].free_at);
    return {begin, forward == lanes_[l].forward_was_last, forward, l};
  }

  void run(const Choice& choice) {
    Lane& lane = lanes_[choice.lane];
    const Pass pass = choice.forward ? lane.forwards[lane.forwards_done++]
                                     : lane.backwards[lane.backwards_done++];
    lane.free_at = choice.begin + lane.duration;
    lane.forward_was_last = choice.forward;
    lane.actions.push_back({pass.stage, choice.forward ? ActionKind::forward : ActionKind::backward,
                            pass.micro_batch});
    const bool last = pass.stage + 1 == static_cast<int>(lane_of_.size());
    if (choice.forward && !last)
      ready(forward_ready_, {pass.stage + 1, pass.micro_batch}) = lane.free_at;
    else if (choice.forward)
      ready(backward_ready_, pass) = lane.free_at;
    else if (pass.stage > 0)
      ready(backward_ready_, {pass.stage - 1, pass.micro_batch}) = lane.free_at;
  }

  const std::vector<int>& lane_of_;
  int micro_batches_;
  bool backward_;
  std::vector<Lane> lanes_;
  std::vector<std::int64_t> forward_ready_, backward_ready_;  // [stage][micro-batch]
};

}  // namespace

std::vector<std::vector<Action>> interleaved(const std::vector<int>& lanes, int micro_batches,
                                             bool backward) {
  return ListScheduling(lanes, micro_batches, backward).run();
}

}  // namespace millrace
