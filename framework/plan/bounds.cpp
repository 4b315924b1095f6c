#include "framework/plan/bounds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Subgradient steps that bring the weights near their best; more changes the third digit.
constexpr int kRounds = 40;

}  // namespace

LeastWork::LeastWork(const CostModel& model, std::int64_t batch, std::int64_t micro_batch,
                     bool sole)
    : kinds(model.states().kinds()) {
  for (int p = 0; p < model.layers(); ++p) {
    for (int kind = 0; kind < kinds; ++kind) {
      compute_ns.push_back(double(batch) * model.least_ns_per_sample(p, kind, micro_batch, sole));
      update_ns.push_back(model.least_update_ns(p, kind, sole));
    }
  }
}

void BalanceBound::choose_weights(const CostModel& model, const LeastWork& work) {
  const DeviceStates& states = model.states();
  kinds_ = states.kinds();
  weights_.assign(static_cast<std::size_t>(states.size() * kinds_), 0.0);
  for (int state = 1; state < states.size(); ++state) improve_weights(model, work, state);
}

/// Kinds that hold the bound up gain weight, the others lose some; the best weights seen are kept.
void BalanceBound::improve_weights(const CostModel& model, const LeastWork& work, int state) {
  const DeviceStates& states = model.states();
  std::vector<double> weight(kinds_, 0.0), load(kinds_);
  for (int k = 0; k < kinds_; ++k) {
    if (states.count(state, k) > 0) weight[k] = 1.0 / states.devices(state);
  }
  double best = -1;
  for (int round = 0; round < kRounds; ++round) {
    double bound = 0;
    load.assign(kinds_, 0.0);
    for (int p = 0; p < model.layers(); ++p) {
      int chosen = -1;
      double least = kInfinity;
      for (int k = 0; k < kinds_; ++k) {
        const double ns = work.compute_ns[p * kinds_ + k] + work.update_ns[p * kinds_ + k];
        if (states.count(state, k) > 0 && weight[k] * ns < least) {
          least = weight[k] * ns;
          chosen = k;
        }
      }
      if (chosen < 0) continue;
      bound += least;
      load[chosen] += work.compute_ns[p * kinds_ + chosen] + work.update_ns[p * kinds_ + chosen];
    }
    if (bound > best) {
      best = bound;
      std::copy(weight.begin(), weight.end(), weights_.begin() + state * kinds_);
    }
    if (states.single_kind(state) >= 0 || bound <= 0) return;
    double sum = 0;
    for (int k = 0; k < kinds_; ++k) {
      if (states.count(state, k) == 0) continue;
      const double excess = load[k] / states.count(state, k) / bound - 1;
      weight[k] *= std::exp(std::clamp(excess, -1.0, 1.0) / (1 + 0.3 * round));
      sum += weight[k] * states.count(state, k);
    }
    for (double& w : weight) w /= sum;
  }
}

void BalanceBound::set_work(const CostModel& model, const LeastWork& work) {
  const DeviceStates& states = model.states();
  stride_ = model.layers() + 1;
  const auto size = static_cast<std::size_t>(states.size() * stride_);
  compute_.assign(size, 0.0);
  total_.assign(size, 0.0);
  missing_.assign(size, 0);
  for (int state = 1; state < states.size(); ++state) {
    const double* weight = &weights_[state * kinds_];
    for (int p = 0; p < model.layers(); ++p) {
      double compute = kInfinity, update = kInfinity;
      for (int k = 0; k < kinds_; ++k) {
        if (states.count(state, k) == 0 || std::isinf(work.compute_ns[p * kinds_ + k])) continue;
        compute = std::min(compute, weight[k] * work.compute_ns[p * kinds_ + k]);
        update = std::min(update, weight[k] * work.update_ns[p * kinds_ + k]);
      }
      const int i = state * stride_ + p;
      const bool missing = std::isinf(compute);
      compute_[i + 1] = compute_[i] + (missing ? 0 : compute);
      total_[i + 1] = total_[i] + (missing ? 0 : compute + update);
      missing_[i + 1] = missing_[i] + (missing ? 1 : 0);
    }
  }
}

double BalanceBound::range(const std::pmr::vector<double>& sums, int state, int first,
                           int last) const {
  const int begin = state * stride_ + first, end = state * stride_ + last;
  if (missing_[end] != missing_[begin]) return kInfinity;
  return sums[end] - sums[begin];
}

}  // namespace millrace
