#include "controller/rehearsal.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "controller/checkpoint.hpp"
#include "controller/estimate/tried_steps.hpp"
#include "controller/steady_clock.hpp"
#include "framework/base/file.hpp"

namespace millrace {
namespace {

constexpr double kPartOfRun = 0.1, kLongest_ns = 2e9, kLongestInNoise_ns = 8e9;
constexpr std::size_t kLeastSteps = 2;
/// Looking at all steps takes time that grows with them, and the more often one looks, the sooner
/// they seem sure by chance.
constexpr double kNextQuestion = 1.25;
/// An evaluation is ended after so long: the rest of its samples take the same.
constexpr double kEvaluation_ns = 5e8;

/// Of the state, in a checkpoint that is only copied; the rest takes the same.
constexpr double kSavedBytes = 256 << 20;

class Trial {
 public:
  Trial(TrainingSession& session, const RehearsalSettings& settings)
      : session_(session), settings_(settings), steps_(settings.run_ns) {}

  Rehearsal run() {
    session_.rehearse_next();  // takes memory, starts threads, reads files
    try_steps([&] { return steps_.tried_ns() >= rehearsed_ns(settings_.run_ns) / 2; });
    try_evaluation();
    try_steps([&] { return steps_.tells_enough(); });
    try_saving();
    tried_.steps_ns = steps_.steps_ns();
    return std::move(tried_);
  }

 private:
  std::int64_t now_ns() const { return settings_.now_ns ? settings_.now_ns() : steady_ns(); }

  template <typename Body>
  double time_of(const Body& body) {
    const std::int64_t begin_ns = now_ns();
    body();
    return static_cast<double>(now_ns() - begin_ns);
  }

  /// Full steps. Of a set that makes no full batch, the others stand for them.
  void try_steps(const std::function<bool()>& enough) {
    const bool some_are_full = session_.training_samples() >= session_.plan().batch;
    while (!enough()) {
      StepReport report;
      const double ns = time_of([&] { report = session_.rehearse_next(); });
      if (!some_are_full || report.samples == session_.plan().batch) steps_.add(ns);
    }
  }

  void try_evaluation() {
    const auto evaluate = [&] {
      const std::int64_t begin_ns = now_ns();
      tried_.evaluated_samples =
          session_.evaluate([&] { return double(now_ns() - begin_ns) < kEvaluation_ns; }).samples;
    };
    tried_.evaluation_ns = time_of(evaluate);
    const bool cheap =
        tried_.evaluation_ns < std::min(kEvaluation_ns, rehearsed_ns(settings_.run_ns)) / 4;
    if (tried_.evaluated_samples > 0 && cheap) tried_.evaluation_ns = time_of(evaluate);  // warm
  }

  /// The second of two copies: the first finds pages and caches as no later one does.
  void try_saving() {
    std::vector<SessionTensor> some;
    double bytes = 0, all_bytes = 0;
    for (SessionTensor& tensor : session_.state()) {
      const auto size = static_cast<double>(tensor.view.bytes);
      all_bytes += size;
      if (bytes + size > kSavedBytes && !some.empty()) continue;
      bytes += size;
      some.push_back(std::move(tensor));
    }
    const CheckpointFolder folder(settings_.folder);
    std::unique_ptr<AtomicFile> unfinished;  // and removed
    for (int i = 0; i < 2; ++i) {
      unfinished.reset();
      tried_.save_ns = time_of([&] { unfinished = folder.copy({}, some); });
    }
    if (bytes > 0) tried_.save_ns *= all_bytes / bytes;
  }

  TrainingSession& session_;
  const RehearsalSettings& settings_;
  StepTrial steps_;
  Rehearsal tried_;
};

/// Whatever it throws, the session's first step begins as if it had not been rehearsed.
template <typename Body>
auto ended(TrainingSession& session, const Body& body) {
  try {
    auto result = body();
    session.end_rehearsal();
    return result;
  } catch (...) {
    session.end_rehearsal();
    throw;
  }
}

}  // namespace

double rehearsed_ns(double run_ns, bool noisy) {
  return std::min(noisy ? kLongestInNoise_ns : kLongest_ns, kPartOfRun * run_ns);
}

void StepTrial::add(double step_ns) {
  steps_ns_.push_back(step_ns);
  tried_ns_ += step_ns;
}

bool StepTrial::tells_enough() {
  if (steps_ns_.size() < kLeastSteps || tried_ns_ < ask_at_ns_) return false;
  if (tried_ns_ >= most_ns_ || tried_steps(steps_ns_, 0).uncertainty <= kNoisy) return true;
  ask_at_ns_ = kNextQuestion * tried_ns_;
  return false;
}

Plan without_predictions(Plan plan) {
  plan.value_ns = plan.bound_ns = 0;
  plan.optimal = false;
  plan.memory_bytes = 0;
  plan.search = {};
  plan.alternatives.clear();
  for (PlanStage& stage : plan.stages) {
    for (double& share : stage.feature_shares) share = std::round(100 * share) / 100;
    stage.update_shares.clear();
    stage.forward_ns = stage.backward_ns = stage.weight_gradient_ns = stage.update_ns = 0;
    stage.memory_bytes = 0;
  }
  return plan;
}

Rehearsal rehearse(TrainingSession& session, const RehearsalSettings& settings) {
  return ended(session, [&] { return Trial(session, settings).run(); });
}

void warm_up(TrainingSession& session) {
  ended(session, [&] { return session.rehearse_next(); });
}

}  // namespace millrace
