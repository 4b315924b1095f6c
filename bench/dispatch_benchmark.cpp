// What the executor itself costs: the hand-over of a payload through a channel, and the dispatch of
// a task that does nothing. Counters are per task (or per hand-over), with the workers on their own
// cores where the machine has them.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "framework/affinity/affinity.hpp"
#include "framework/execute/channel.hpp"
#include "framework/execute/executor.hpp"

namespace millrace {
namespace {

class IdleStage : public StageRunner {
 public:
  explicit IdleStage(int workers) : workers_(workers) {}
  int workers() const override { return workers_; }
  void enter(int) override {}
  Payload forward(int, int, const std::vector<Payload>&) override { return payload_; }
  Payload backward(int, int, const std::vector<Payload>&) override { return payload_; }
  Payload input_gradient(int, int, const std::vector<Payload>&) override { return payload_; }
  void weight_gradient(int, int) override {}
  void reduce(int) override {}
  void update(int) override {}
  void cancel() override {}
  void reset() override {}

 private:
  const int workers_;
  const Payload payload_ = std::make_shared<int>(0);
};

/// CPU of worker `index`: one core after another.
WorkerPlace place(int index) {
  const auto cpus = this_thread_cpus();
  return {{cpus[static_cast<std::size_t>(index) % cpus.size()]}, 1};
}

/// range(0) stages of range(1) workers, range(2) micro-batches of one step under 1F1B.
void BM_Dispatch(benchmark::State& state) {
  const int stage_count = static_cast<int>(state.range(0));
  const int worker_count = static_cast<int>(state.range(1));
  std::vector<std::unique_ptr<IdleStage>> stages;
  std::vector<StageRunner*> runners;
  std::vector<std::vector<WorkerPlace>> places(static_cast<std::size_t>(stage_count));
  int worker = 0;
  for (auto& stage_places : places) {
    stages.push_back(std::make_unique<IdleStage>(worker_count));
    runners.push_back(stages.back().get());
    for (int w = 0; w < worker_count; ++w) stage_places.push_back(place(worker++));
  }
  Executor executor(runners, places);
  const Schedule schedule = make_schedule("1f1b", stage_count, static_cast<int>(state.range(2)));
  std::int64_t tasks = 0;
  for (auto _ : state) tasks += static_cast<std::int64_t>(executor.run(schedule).tasks.size());
  state.counters["per_task"] = benchmark::Counter(
      static_cast<double>(tasks), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Dispatch)
    ->ArgNames({"stages", "workers", "micro_batches"})
    ->Args({1, 1, 8})
    ->Args({1, 2, 8})
    ->Args({2, 1, 8})
    ->Args({2, 1, 64})
    ->Args({2, 2, 8})
    ->UseRealTime();

/// One thread: send and receive without a wake-up.
void BM_ChannelAlone(benchmark::State& state) {
  Channel channel(1, 1);
  const Payload payload = std::make_shared<int>(0);
  for (auto _ : state) {
    channel.send(0, 0, payload);
    benchmark::DoNotOptimize(channel.receive(0));
  }
}
BENCHMARK(BM_ChannelAlone);

/// Two threads on two cores, there and back: each hand-over wakes a parked thread.
void BM_ChannelHandOver(benchmark::State& state) {
  Channel there(1, 1), back(1, 1);
  const Payload payload = std::make_shared<int>(0);
  std::thread echo([&] {
    bind_this_thread(place(1).cpus);
    try {
      for (;;) back.send(0, 0, there.receive(0).front());
    } catch (const Cancelled&) {  // the end of the benchmark
    }
  });
  const ScopedBinding binding(place(0).cpus);
  for (auto _ : state) {
    there.send(0, 0, payload);
    benchmark::DoNotOptimize(back.receive(0));
  }
  there.cancel();
  back.cancel();
  echo.join();
  state.counters["per_hand_over"] =
      benchmark::Counter(2.0 * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_ChannelHandOver)->UseRealTime();

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
