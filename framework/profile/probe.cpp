#include "framework/profile/probe.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/copy.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>

#include <chrono>
#include <thread>

#include "framework/profile/core_team.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr auto kProbeTime = std::chrono::milliseconds(100);
constexpr std::int64_t kMatrix = 256;            // 33.6 MFLOP a product
constexpr std::int64_t kElements = 1024 * 1024;  // 4 MiB read, 4 MiB written

/// Runs on the probed core.
double rounds_per_second() {
  const c10::InferenceMode no_gradients;
  const at::Tensor a = at::ones({kMatrix, kMatrix}), from = at::ones({kElements});
  at::Tensor product = at::ones({kMatrix, kMatrix}), to = at::ones({kElements});
  const auto round = [&] {
    at::mm_out(product, a, a);
    to.copy_(from);
  };
  round();
  const auto begin = SteadyClock::now();
  int rounds = 0;
  while (SteadyClock::now() - begin < kProbeTime) {
    round();
    ++rounds;
  }
  return rounds / std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

}  // namespace

CoreRates probe_cores(const std::vector<int>& cpus) {
  std::vector<double> rates(cpus.size());
  CoreTeam(cpus).run([&rates](int member, const CoreTeam::Meet& meet) {
    meet();
    rates[static_cast<std::size_t>(member)] = rounds_per_second();
  });
  CoreRates by_cpu;
  for (std::size_t i = 0; i < cpus.size(); ++i) by_cpu[cpus[i]] = rates[i];
  return by_cpu;
}

void pause_between_probes() { std::this_thread::sleep_for(std::chrono::milliseconds(300)); }

std::function<CoreRates(const std::vector<int>& cpus)> patient_probe(std::function<void()> pause) {
  return [made = 0, pause = std::move(pause)](const std::vector<int>& cpus) mutable {
    if (made == kProbesOfSpeed)
      log_info("profile",
               "cores run at other speeds than each other or than before: watching for some "
               "seconds whether they stay so");
    if (made++ >= kProbesOfSpeed) pause();
    return probe_cores(cpus);
  };
}

CoreRates present_rates(const std::vector<int>& cpus) {
  std::map<int, std::vector<double>> probed;
  for (int i = 0; i < 3; ++i)
    for (const auto& [cpu, rate] : probe_cores(cpus)) probed[cpu].push_back(rate);
  CoreRates rates;
  for (auto& [cpu, all] : probed) rates[cpu] = median(std::move(all));
  return rates;
}

CoreRates settled_rates(const std::function<CoreRates()>& probe,
                        const std::function<int(const CoreRates&)>& needed) {
  CoreRates best = probe();
  for (int probes = 1; probes < needed(best); ++probes) best = best_of(best, probe());
  return best;
}

}  // namespace millrace
