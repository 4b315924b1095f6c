#include "tests/framework/plan/exhaustive.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "millrace/schedule.hpp"
#include "tests/framework/plan/naive_costs.hpp"

namespace millrace::oracle {
namespace {

class Exhaustion {
 public:
  Exhaustion(const Profile& profile, const PlanRequest& request)
      : profile_(profile), request_(request), costs_(profile, request.objective) {
    budget_ = profile.shared_memory_bytes;
    if (request.memory_bytes) {
      budget_ = std::min(budget_.value_or(1e300), double(*request.memory_bytes));
    }
  }

  Best run() {
    for (std::int64_t b = 1; b <= request_.batch; ++b) {
      if (request_.micro_batch && b != *request_.micro_batch) continue;
      const std::int64_t M = (request_.batch + b - 1) / b;
      cut_ = {request_.batch, b, M, request_.batch - (M - 1) * b};
      known_.clear();
      ways_.clear();
      legal_.clear();
      Counts counts;
      for (const auto& kind : profile_.kinds) counts.push_back(kind.count);
      add_stage(0, counts);
    }
    return best_;
  }

 private:
  /// Every next stage: every set of layers that can run, every set of devices that are left, every
  /// way to use them.
  void add_stage(Set first, const Counts& left) {
    if (first == costs_.all()) return weigh();
    if (request_.max_stages && int(shapes_.size()) == *request_.max_stages) return;
    Counts part(left.size(), 0);
    while (next_counts(left, part)) {
      Counts after = left;
      for (std::size_t k = 0; k < left.size(); ++k) after[k] -= part[k];
      for (const Set last : ends(first)) {
        for (const Shape* shape : ways(first, last, part)) {
          shapes_.push_back(shape);
          add_stage(last, after);
          shapes_.pop_back();
        }
      }
    }
  }

  /// The sets with all of `first` and more that can run without what is left.
  const std::vector<Set>& ends(Set first) {
    const auto [place, is_new] = ends_.try_emplace(first);
    if (!is_new) return place->second;
    const Set others = costs_.all() & ~first;
    for (Set more = others; more != 0; more = (more - 1) & others) {
      if (costs_.is_ideal(first | more)) place->second.push_back(first | more);
    }
    return place->second;
  }

  static bool next_counts(const Counts& left, Counts& part) {
    for (std::size_t k = 0; k < left.size(); ++k) {
      if (part[k] < left[k]) {
        ++part[k];
        return true;
      }
      part[k] = 0;
    }
    return false;
  }

  const std::vector<const Shape*>& ways(Set first, Set last, const Counts& devices) {
    const auto [place, is_new] = ways_.try_emplace({first, last, devices});
    if (is_new) find_ways(first, last, devices, place->second);
    return place->second;
  }

  void find_ways(Set first, Set last, const Counts& devices, std::vector<const Shape*>& result) {
    const int all = std::accumulate(devices.begin(), devices.end(), 0);
    std::vector<bool> recompute;
    if (request_.recompute != RecomputePolicy::all || !profile_.training)
      recompute.push_back(false);
    if (request_.recompute != RecomputePolicy::none && profile_.training) recompute.push_back(true);
    for (const bool again : recompute) {
      for (const Split split : {Split::samples, Split::threads, Split::features}) {
        for (int width = 1; width <= all; ++width) {
          const Shape shape{first, last, devices, split, width, again, 0};
          const int replicas = all / width;
          if (request_.max_replicas && replicas > *request_.max_replicas) continue;
          if (!costs_.legal(shape, cut_.b)) continue;
          result.push_back(&legal_.emplace_back(shape));
          if (recomputes_some(shape)) add_recomputed(shape, result);
        }
      }
    }
  }

  /// Only of a plan's one stage, and where there is a memory to keep within.
  bool recomputes_some(const Shape& shape) const {
    const bool sole = shape.first == 0 && shape.last == costs_.all();
    const bool one_in_flight = request_.schedule != "fill-drain" || cut_.M == 1;
    int kinds = 0;
    bool own_memory = false;
    for (std::size_t k = 0; k < shape.devices.size(); ++k) {
      if (shape.devices[k] == 0) continue;
      ++kinds;
      own_memory = own_memory || profile_.kinds[k].memory_bytes.has_value();
    }
    return sole && budget_ && profile_.training && one_in_flight && kinds == 1 && !own_memory &&
           !shape.recompute && request_.recompute == RecomputePolicy::automatic &&
           shape.split != Split::features && profile_.layers.size() <= kMostRecomputed;
  }

  void add_recomputed(Shape shape, std::vector<const Shape*>& result) {
    for (shape.again = 1; shape.again < costs_.all(); ++shape.again)
      result.push_back(&legal_.emplace_back(shape));
  }

  const Stage& stage(const Shape* shape, bool sole) {
    const auto [place, is_new] = known_.try_emplace({shape, sole});
    if (is_new) place->second = costs_.stage(*shape, sole, cut_);
    return place->second;
  }

  Flight flight(const std::string& schedule, std::size_t s) const {
    if (schedule == "forward-only") return {};
    if (schedule == "fill-drain") return {cut_.M, 0};
    const auto stages = std::int64_t(shapes_.size() - s);
    return {std::min(cut_.M, stages),
            schedule == "zero-bubble" ? std::min(cut_.M, std::int64_t(s) + 1) : 0};
  }

  /// Bubbles do not count in the period.
  std::vector<std::string> schedules() const {
    if (!profile_.training) return {"forward-only"};
    if (request_.objective == Objective::period) return {"fill-drain", "1f1b"};
    return {"fill-drain", "1f1b", "zero-bubble"};
  }

  void weigh() {
    std::vector<const Stage*> stages;
    for (const Shape* shape : shapes_) stages.push_back(&stage(shape, shapes_.size() == 1));
    for (const auto& schedule : schedules()) {
      if (request_.schedule != "auto" && request_.schedule != schedule) continue;
      ++best_.plans;
      double bytes = 0;
      bool fit = true;
      for (std::size_t s = 0; s < stages.size(); ++s) {
        const Flight in_flight = flight(schedule, s);
        bytes += stages[s]->fixed +
                 stages[s]->flight * double(std::min(request_.batch, in_flight.backward * cut_.b)) +
                 stages[s]->kept * double(std::min(request_.batch, in_flight.weights * cut_.b));
        fit = fit && costs_.devices_fit(*shapes_[s], *stages[s], cut_, in_flight);
      }
      if (!fit) continue;
      best_.least_bytes = std::min(best_.least_bytes, bytes);
      if (budget_ && bytes > *budget_) continue;
      const double score =
          request_.objective == Objective::period ? period(stages) : makespan(stages, schedule);
      best_.score_ns = std::min(score, best_.score_ns.value_or(1e300));
    }
  }

  double period(const std::vector<const Stage*>& stages) const {
    double largest = 0;
    for (const Stage* stage : stages) {
      for (const Device& d : stage->full) largest = std::max(largest, costs_.load(d));
    }
    return largest * double(request_.batch) / double(cut_.b);
  }

  template <typename Value>
  static double slowest(const std::vector<Device>& devices, const Value& value) {
    double result = 0;
    for (const Device& d : devices) result = std::max(result, value(d));
    return result;
  }

  double makespan(const std::vector<const Stage*>& stages, const std::string& schedule) const {
    const bool serial = !profile_.overlapped_transfers;
    const auto forward = [&](const Device& d) {
      return d.forward + (serial ? d.in_forward + d.out_forward : 0);
    };
    const bool apart = schedule == "zero-bubble";
    const auto backward = [&](const Device& d) {
      return (apart ? d.input_gradient : d.backward) +
             (serial ? d.in_backward + d.out_backward : 0);
    };
    std::vector<StageTimes> times(stages.size());
    for (std::int64_t m = 0; m < cut_.M; ++m) {
      const auto part = m + 1 < cut_.M ? &Stage::full : &Stage::rest;
      for (std::size_t s = 0; s < stages.size(); ++s) {
        times[s].forward_ns.push_back(slowest(stages[s]->*part, forward));
        times[s].backward_ns.push_back(slowest(stages[s]->*part, backward));
        times[s].weight_gradient_ns.push_back(
            slowest(stages[s]->*part, [](const Device& d) { return d.weight_gradient; }));
        if (serial || s + 1 == stages.size()) continue;
        const auto &from = stages[s]->*part, &to = stages[s + 1]->*part;
        times[s].send_forward_ns.push_back(
            slowest(from, [](const Device& d) { return d.out_forward; }) +
            slowest(to, [](const Device& d) { return d.in_forward; }));
        times[s + 1].send_backward_ns.push_back(
            slowest(to, [](const Device& d) { return d.out_backward; }) +
            slowest(from, [](const Device& d) { return d.in_backward; }));
      }
    }
    for (std::size_t s = 0; s < stages.size(); ++s) {
      times[s].reduce_ns = stages[s]->reduce;
      times[s].update_ns = stages[s]->update;
    }
    return simulate(make_schedule(schedule, int(stages.size()), int(cut_.M)), times).makespan_ns;
  }

  const Profile& profile_;
  const PlanRequest& request_;
  NaiveCosts costs_;
  std::optional<double> budget_;
  Cut cut_;
  std::vector<const Shape*> shapes_;
  std::map<Set, std::vector<Set>> ends_;
  std::deque<Shape> legal_;  // with the current micro-batch, as what follows
  std::map<std::tuple<Set, Set, Counts>, std::vector<const Shape*>> ways_;
  std::map<std::pair<const Shape*, bool>, Stage> known_;
  Best best_;
};

}  // namespace

Best exhaust(const Profile& profile, const PlanRequest& request) {
  return Exhaustion(profile, request).run();
}

}  // namespace millrace::oracle
