// How fast schedules are made, simulated and bounded: what each candidate of the plan search costs.
// The items are actions (simulation) or calls; items_per_second is the figure.

#include <benchmark/benchmark.h>

#include <vector>

#include "millrace/schedule.hpp"

namespace millrace {
namespace {

std::vector<StageTimes> uneven_times(int stages) {
  std::vector<StageTimes> times(static_cast<std::size_t>(stages));
  for (int s = 0; s < stages; ++s) {
    StageTimes& stage = times[static_cast<std::size_t>(s)];
    stage.forward_ns = {100.0 + 7 * (s % 3)};
    stage.backward_ns = {210.0 + 11 * (s % 2)};
    stage.update_ns = 40;
  }
  return times;
}

std::int64_t actions_of(const Schedule& schedule) {
  std::size_t count = 0;
  for (const auto& actions : schedule.actions) count += actions.size();
  return static_cast<std::int64_t>(count);
}

void simulate_makespan(benchmark::State& state, const char* name) {
  const auto stages = static_cast<int>(state.range(0));
  const Schedule schedule = make_schedule(name, stages, static_cast<int>(state.range(1)));
  const auto times = uneven_times(stages);
  for (auto _ : state) benchmark::DoNotOptimize(simulate_makespan_ns(schedule, times));
  state.SetItemsProcessed(state.iterations() * actions_of(schedule));
}

void make(benchmark::State& state) {
  const auto stages = static_cast<int>(state.range(0));
  const auto micro_batches = static_cast<int>(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(make_schedule("1f1b", stages, micro_batches));
  state.SetItemsProcessed(state.iterations());
}

void bound(benchmark::State& state) {
  const auto stages = static_cast<std::size_t>(state.range(0));
  const std::vector<double> forward(stages, 100), backward(stages, 210), link(stages, 3);
  const auto micro_batches = static_cast<int>(state.range(1));
  for (auto _ : state) {
    benchmark::DoNotOptimize(bound_1f1b_ns(forward, backward, link, micro_batches));
  }
  state.SetItemsProcessed(state.iterations());
}

/// Stages x micro-batches: a small board, a large one, several boards.
void sizes(benchmark::internal::Benchmark* benchmark) {
  for (const auto& [stages, micro_batches] : {std::pair{2, 8}, {4, 16}, {8, 32}, {16, 128}}) {
    benchmark->Args({stages, micro_batches});
  }
}

BENCHMARK_CAPTURE(simulate_makespan, 1f1b, "1f1b")->Apply(sizes);
BENCHMARK_CAPTURE(simulate_makespan, fill_drain, "fill-drain")->Apply(sizes);
BENCHMARK(make)->Apply(sizes);
BENCHMARK(bound)->Apply(sizes);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
