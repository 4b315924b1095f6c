#include "framework/plan/bounds.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Subgradient steps that bring the weights near their best; more changes the third digit.
constexpr int kRounds = 40;

/// Weighted work of one layer on the kind that has the least of it.
struct LayerWork {
  double compute_ns = kInfinity, update_ns = kInfinity, back_ns = kInfinity;
};

LayerWork layer_work(const DeviceStates& states, int state, const double* weight,
                     const LeastWork& work, int position) {
  LayerWork least;
  for (int k = 0; k < work.kinds; ++k) {
    const double compute = work.compute_ns[position * work.kinds + k];
    if (states.count(state, k) == 0 || std::isinf(compute)) continue;
    least.compute_ns = std::min(least.compute_ns, weight[k] * compute);
    least.update_ns =
        std::min(least.update_ns, weight[k] * work.update_ns[position * work.kinds + k]);
    if (work.back_ns.empty()) continue;
    least.back_ns = std::min(least.back_ns, weight[k] * work.back_ns[position * work.kinds + k]);
  }
  return least;
}

}  // namespace

LeastWork least_work(const CostModel& model, std::int64_t batch, std::int64_t micro_batch,
                     bool sole, const BackwardForms& forms) {
  LeastWork work{model.states().kinds(), {}, {}, {}};
  for (int p = 0; p < model.layers(); ++p) {
    for (int kind = 0; kind < work.kinds; ++kind) {
      const LeastTimes least = model.least_ns_per_sample(p, kind, micro_batch, sole, forms);
      work.compute_ns.push_back(double(batch) * least.compute_ns);
      work.update_ns.push_back(model.least_update_ns(p, kind, sole));
      if (!forms.apart) continue;
      work.back_ns.push_back(double(batch) * least.back_ns);
    }
  }
  return work;
}

double BalanceBound::whole_ns(const CostModel& model, const LeastWork& work, int state,
                              bool with_update) const {
  const double* weight = &weights_[state * kinds_];
  double sum = 0;
  for (int p = 0; p < model.layers(); ++p) {
    const LayerWork layer = layer_work(model.states(), state, weight, work, p);
    sum += layer.compute_ns + (with_update ? layer.update_ns : 0);
  }
  return sum;
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
  const Cuts& cuts = model.cuts();
  stride_ = static_cast<std::size_t>(cuts.size());
  const auto size = static_cast<std::size_t>(states.size()) * stride_;
  compute_.assign(size, 0.0);
  total_.assign(size, 0.0);
  missing_.assign(size, 0);
  back_.assign(work.back_ns.empty() ? 0 : size, 0.0);
  for (int state = 1; state < states.size(); ++state) add_up(model, work, state);
}

void BalanceBound::add_up(const CostModel& model, const LeastWork& work, int state) {
  const Cuts& cuts = model.cuts();
  std::vector<LayerWork> layers;
  for (int p = 0; p < model.layers(); ++p) {
    layers.push_back(layer_work(model.states(), state, &weights_[state * kinds_], work, p));
  }
  for (int cut = 1; cut < cuts.size(); ++cut) {
    const auto [compute, update, back] = layers[cuts.added(cut)];
    const std::size_t row = static_cast<std::size_t>(state) * stride_;
    const std::size_t i = row + static_cast<std::size_t>(cut);
    const std::size_t before = row + static_cast<std::size_t>(cuts.parent(cut));
    const bool missing = std::isinf(compute);
    compute_[i] = compute_[before] + (missing ? 0 : compute);
    total_[i] = total_[before] + (missing ? 0 : compute + update);
    missing_[i] = missing_[before] + (missing ? 1 : 0);
    if (back_.empty()) continue;
    back_[i] = back_[before] + (missing ? 0 : back);
  }
}

double BalanceBound::range(const std::pmr::vector<double>& sums, int state, int first,
                           int last) const {
  const std::size_t row = static_cast<std::size_t>(state) * stride_;
  const std::size_t begin = row + static_cast<std::size_t>(first);
  const std::size_t end = row + static_cast<std::size_t>(last);
  if (missing_[end] != missing_[begin]) return kInfinity;
  return sums[end] - sums[begin];
}

}  // namespace millrace
