// `millrace bench --dispatch`: what the executor takes for tasks that do nothing, and what its
// workers take of their cores while they wait for each other. Prints one JSON line.

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/arguments.hpp"
#include "bench/dispatch_gaps.hpp"
#include "framework/affinity/affinity.hpp"
#include "framework/execute/executor.hpp"
#include "millrace/topology.hpp"

namespace millrace::bench {
namespace {

constexpr int kMicroBatches = 8;
constexpr int kPause_ms = 5;

/// Does nothing; `pause_ms`: a forward pass sleeps for so long.
class IdleStage : public StageRunner {
 public:
  IdleStage(int workers, int pause_ms) : workers_(workers), pause_(pause_ms) {}
  int workers() const override { return workers_; }
  void enter(int) override {}
  Payload forward(int, int, const std::vector<Payload>&) override {
    if (pause_.count() > 0) std::this_thread::sleep_for(pause_);
    return payload_;
  }
  Payload backward(int, int, const std::vector<Payload>&) override { return payload_; }
  Payload input_gradient(int, int, const std::vector<Payload>&) override { return payload_; }
  void weight_gradient(int, int) override {}
  void reduce(int) override {}
  void update(int) override {}
  void cancel() override {}
  void reset() override {}

 private:
  const int workers_;
  const std::chrono::milliseconds pause_;
  const Payload payload_ = std::make_shared<int>(0);
};

/// A pipeline on one CPU after another; its first stage pauses.
class Pipeline {
 public:
  Pipeline(const std::vector<int>& cpus, int stages, int workers, int pause_ms)
      : schedule_(make_schedule("1f1b", stages, kMicroBatches)) {
    std::vector<StageRunner*> runners;
    std::vector<std::vector<WorkerPlace>> places(static_cast<std::size_t>(stages));
    auto cpu = cpus.begin();
    for (auto& stage_places : places) {
      stages_.push_back(std::make_unique<IdleStage>(workers, stages_.empty() ? pause_ms : 0));
      runners.push_back(stages_.back().get());
      for (int w = 0; w < workers; ++w) stage_places.push_back({{*cpu++}, 1});
    }
    executor_ = std::make_unique<Executor>(runners, places);
  }

  std::vector<DispatchGap> run(int steps) {
    std::vector<DispatchGap> gaps;
    for (int step = 0; step < steps; ++step) {
      const auto own = dispatch_gaps(executor_->run(schedule_), schedule_.stages());
      gaps.insert(gaps.end(), own.begin(), own.end());
    }
    return gaps;
  }

 private:
  const Schedule schedule_;
  std::vector<std::unique_ptr<IdleStage>> stages_;
  std::unique_ptr<Executor> executor_;
};

nlohmann::json row(const std::string& name, std::vector<DispatchGap> gaps) {
  std::sort(gaps.begin(), gaps.end(), [](auto a, auto b) { return a.gap_ns < b.gap_ns; });
  const auto at = [&](double share) {
    return gaps[static_cast<std::size_t>(share * static_cast<double>(gaps.size() - 1))].gap_ns;
  };
  return {{"name", name}, {"tasks", gaps.size()}, {"median_ns", at(0.5)}, {"p99_ns", at(0.99)}};
}

nlohmann::json empty_row(const Arguments& arguments, const std::vector<int>& cpus, int stages,
                         int workers) {
  Pipeline pipeline(cpus, stages, workers, 0);
  pipeline.run(arguments.positive("--warmup"));
  const std::string name = std::to_string(stages) + (stages > 1 ? " stages of " : " stage of ") +
                           std::to_string(workers) + (workers > 1 ? " workers" : " worker");
  return row(name, pipeline.run(arguments.positive("--steps")));
}

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Hand-overs to workers that waited for the first stage's pause, and the share of a core that all
/// of them take meanwhile.
nlohmann::json waiting_row(const Arguments& arguments, const std::vector<int>& cpus) {
  Pipeline pipeline(cpus, static_cast<int>(cpus.size()), 1, kPause_ms);
  pipeline.run(1);
  const double begin = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  std::vector<DispatchGap> gaps = pipeline.run(std::max(arguments.positive("--steps") / 50, 1));
  const double used = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  std::erase_if(gaps, [](auto gap) { return gap.waited_ns < kPause_ms * 500'000; });
  nlohmann::json result = row("a worker that has waited 5 ms", std::move(gaps));
  result["core_share"] = used / (seconds_of(CLOCK_MONOTONIC) - begin);
  return result;
}

int run(const Arguments& arguments) {
  const std::vector<int> cpus = parse_cpu_list(arguments.text("--cpus"));
  const int all = static_cast<int>(cpus.size());
  auto rows = nlohmann::json::array({empty_row(arguments, cpus, 1, 1)});
  if (all > 1) {
    rows.push_back(empty_row(arguments, cpus, 1, all));
    rows.push_back(empty_row(arguments, cpus, all, 1));
    rows.push_back(waiting_row(arguments, cpus));
  }
  std::printf("%s\n", nlohmann::json::object({{"rows", rows}}).dump().c_str());
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
