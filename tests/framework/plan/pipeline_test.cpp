#include "framework/plan/pipeline.hpp"

#include <gtest/gtest.h>

#include <random>

namespace millrace {
namespace {

class Stages {
 public:
  /// F and B of one sample; proportional.
  void add(double forward, double backward, double reduce, double update, double link) {
    StageOption& stage = stages_.emplace_back();
    stage.cost.full = {forward, backward, {link, link, link, link}};
    stage.cost.reduce_ns = reduce;
    stage.cost.update_ns = update;
  }
  /// What the last micro-batch takes; the pipeline's ends have no transfers.
  void set_rest(double part) {
    LinkTimes &first = stages_.front().cost.full.links, &last = stages_.back().cost.full.links;
    first.in_forward_ns = first.out_backward_ns = 0;
    last.out_forward_ns = last.in_backward_ns = 0;
    for (StageOption& stage : stages_) {
      stage.cost.rest = stage.cost.full;
      stage.cost.rest.forward_ns *= part;
      stage.cost.rest.backward_ns *= part;
      stage.cost.rest.input_gradient_ns *= part;
      stage.cost.rest.weight_gradient_ns *= part;
    }
  }
  /// The last stage's backward in two parts.
  void split_backward(double input_gradient, double weight_gradient) {
    stages_.back().cost.full.input_gradient_ns = input_gradient;
    stages_.back().cost.full.weight_gradient_ns = weight_gradient;
  }
  StageOption& operator[](std::size_t s) { return stages_[s]; }
  std::vector<const StageOption*> pointers(std::size_t first_ones) const {
    std::vector<const StageOption*> result;
    for (std::size_t s = 0; s < first_ones; ++s) result.push_back(&stages_[s]);
    return result;
  }
  std::size_t size() const { return stages_.size(); }

 private:
  std::vector<StageOption> stages_;
};

double simulated(const Stages& stages, const Batching& batching, const std::string& schedule) {
  std::vector<StageTimes> times;
  fill_times(stages.pointers(stages.size()), batching, splits_backward(schedule), times);
  return simulate_makespan_ns(make_schedule(schedule, int(stages.size()), int(batching.count)),
                              times);
}

TEST(Pipeline, FillsOneTimeOrOneForEachMicroBatch) {
  Stages stages;
  stages.add(10, 20, 1, 2, 0);
  stages.add(30, 40, 3, 4, 0);
  stages.set_rest(1);
  std::vector<StageTimes> times;
  fill_times(stages.pointers(2), Batching(8, 4), false, times);
  EXPECT_EQ(times[1].forward_ns, (std::vector<double>{30}));
  EXPECT_EQ(times[1].reduce_ns, 3);
  EXPECT_EQ(times[1].update_ns, 4);
  stages.set_rest(0.5);
  fill_times(stages.pointers(2), Batching(10, 4), false, times);
  EXPECT_EQ(times[0].backward_ns, (std::vector<double>{20, 20, 10}));
}

TEST(Pipeline, FillsTheTwoPartsOfBackward) {
  Stages stages;
  stages.add(10, 20, 1, 2, 0);
  stages.split_backward(8, 14);
  stages.set_rest(0.5);
  std::vector<StageTimes> times;
  fill_times(stages.pointers(1), Batching(10, 4), true, times);
  EXPECT_EQ(times[0].backward_ns, (std::vector<double>{8, 8, 4}));
  EXPECT_EQ(times[0].weight_gradient_ns, (std::vector<double>{14, 14, 7}));
  fill_times(stages.pointers(1), Batching(10, 4), false, times);
  EXPECT_TRUE(times[0].weight_gradient_ns.empty());
}

TEST(Pipeline, OverlappedTransfersPassBothLinks) {
  Stages stages;
  stages.add(10, 20, 0, 0, 3);
  stages.add(10, 20, 0, 0, 5);
  stages.set_rest(1);
  std::vector<StageTimes> times;
  fill_times(stages.pointers(2), Batching(4, 4), false, times);
  EXPECT_EQ(times[0].send_forward_ns, (std::vector<double>{8}));
  EXPECT_EQ(times[1].send_backward_ns, (std::vector<double>{8}));
  EXPECT_TRUE(times[0].send_backward_ns.empty());
  EXPECT_TRUE(times[1].send_forward_ns.empty());
}

TEST(Pipeline, MicroBatchesInFlight) {
  EXPECT_EQ(in_flight("1f1b", 4, 0, 8), (InFlight{4, 0}));
  EXPECT_EQ(in_flight("1f1b", 4, 3, 8), (InFlight{1, 0}));
  EXPECT_EQ(in_flight("1f1b", 4, 0, 2), (InFlight{2, 0}));
  EXPECT_EQ(in_flight("zero-bubble", 4, 1, 8), (InFlight{3, 2}));
  EXPECT_EQ(in_flight("zero-bubble", 4, 3, 2), (InFlight{1, 2}));
  EXPECT_EQ(in_flight("fill-drain", 4, 3, 8), (InFlight{8, 0}));
  EXPECT_EQ(in_flight("forward-only", 4, 0, 8), InFlight{});
}

/// The most that wait for their backward, and for their weights' gradients.
TEST(Pipeline, InFlightAreThoseOfTheActions) {
  for (const std::string& name : schedule_names()) {
    for (int P = 1; P <= 4; ++P) {
      for (int M = 1; M <= 6; ++M) {
        const Schedule schedule = make_schedule(name, P, M);
        for (int s = 0; s < P; ++s) {
          InFlight now, most;
          for (const Action& action : schedule.actions[std::size_t(s)]) {
            if (action.kind == ActionKind::forward) ++now.backward;
            if (action.kind == ActionKind::backward) --now.backward;
            if (action.kind == ActionKind::backward && splits_backward(name)) ++now.weights;
            if (action.kind == ActionKind::weight) --now.weights;
            most = {std::max(most.backward, now.backward), std::max(most.weights, now.weights)};
          }
          EXPECT_EQ(in_flight(name, P, s, M), most) << name << P << M << s;
        }
      }
    }
  }
}

TEST(Pipeline, BytesAreThoseOfAllStagesInFlight) {
  Stages stages;
  stages.add(1, 1, 0, 0, 0);
  stages.add(1, 1, 0, 0, 0);
  stages[0].cost.fixed_bytes = 100;
  stages[0].cost.flight_bytes = 7;
  stages[1].cost.fixed_bytes = 50;
  stages[1].cost.flight_bytes = 3;
  stages[1].cost.kept_bytes = 2;
  const auto all = stages.pointers(2);
  EXPECT_EQ(pipeline_bytes(all, Batching(16, 4), in_flight(make_schedule("1f1b", 2, 4))),
            150 + 8 * 7 + 4 * 3);
  EXPECT_EQ(pipeline_bytes(all, Batching(16, 4), in_flight(make_schedule("zero-bubble", 2, 4))),
            150 + 8 * 7 + 4 * 3 + 8 * 2);
  EXPECT_EQ(pipeline_bytes(all, Batching(16, 4), in_flight(make_schedule("fill-drain", 2, 4))),
            150 + 16 * 7 + 16 * 3);
  EXPECT_EQ(pipeline_bytes(all, Batching(16, 4), in_flight(make_schedule("forward-only", 2, 4))),
            150);
}

TEST(MakespanBound, IsExactForOneStage) {
  Stages stages;
  stages.add(10, 20, 3, 4, 0);
  stages.set_rest(0.5);
  const Batching batching(7, 2);  // 3 and a half micro-batches
  EXPECT_DOUBLE_EQ(makespan_bound_ns(stages.pointers(1), 1, batching, "1f1b", {}),
                   3.5 * 30 + 3 + 4);
}

/// Of a whole pipeline and of its first stages alone, whatever follows.
TEST(MakespanBound, IsNeverAboveTheSimulation) {
  std::mt19937 random(23);
  std::uniform_real_distribution<double> real(0, 100);
  for (int round = 0; round < 3000; ++round) {
    Stages stages;
    const auto P = std::size_t(1 + random() % 5);
    const bool links = random() % 2 == 0;
    for (std::size_t s = 0; s < P; ++s) {
      stages.add(real(random), real(random), real(random), real(random),
                 links ? real(random) / 4 : 0);
      stages.split_backward(real(random), real(random));
    }
    const auto full = std::int64_t(1 + random() % 6);
    const Batching batching(std::int64_t(1 + random() % 24) + full - 1, full);
    stages.set_rest(double(batching.rest) / double(full));
    for (const std::string& schedule : schedule_names()) {
      const double value = simulated(stages, batching, schedule);
      for (std::size_t known = 1; known <= P; ++known) {
        RoundTrip behind;
        for (std::size_t s = known; s < P; ++s) {
          behind.full_ns += passes(stages[s].cost.full, splits_backward(schedule)).trip_ns();
          behind.last_ns += passes(stages[s].cost.rest, splits_backward(schedule)).trip_ns();
        }
        const auto first_ones = stages.pointers(known);
        const double bound = makespan_bound_ns(first_ones, int(P), batching, schedule, behind);
        ASSERT_LE(bound, value * (1 + 1e-12)) << round << " " << schedule << " " << known;
        // A longer pipeline has more in flight: a bound that assumes it is not above.
        ASSERT_LE(makespan_bound_ns(first_ones, int(P) + 2, batching, schedule, behind),
                  bound * (1 + 1e-12));
      }
    }
  }
}

TEST(MakespanBound, IsCloseOnBalancedPipelines) {
  Stages stages;
  for (int s = 0; s < 4; ++s) stages.add(10, 20, 0, 0, 0);
  stages.set_rest(1);
  const Batching batching(16, 1);
  const double value = simulated(stages, batching, "1f1b");
  EXPECT_DOUBLE_EQ(value, (16 + 3) * 30);
  EXPECT_DOUBLE_EQ(makespan_bound_ns(stages.pointers(4), 4, batching, "1f1b", {}), value);
}

}  // namespace
}  // namespace millrace
