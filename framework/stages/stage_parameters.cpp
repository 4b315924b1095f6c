#include "framework/stages/stage_parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "framework/stages/untouched_zeros.hpp"
#include "kernels/reduction/reduction.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kLine = 16;  // floats of a cache line: no two workers write the same one

std::vector<std::string> state_prefixes(const OptimizerSettings& settings) {
  if (settings.kind == OptimizerKind::adamw) return {"optimizer.exp_avg.", "optimizer.exp_avg_sq."};
  if (settings.momentum > 0) return {"optimizer.momentum."};
  return {};
}

void need_dense_float(const StageParameter& parameter) {
  const at::Tensor& value = parameter.value;
  if (value.scalar_type() == at::kFloat && value.is_contiguous()) return;
  throw ConfigError("model",
                    fmt::format("parameter {} is {} and {}: make it float32 and contiguous",
                                parameter.name, c10::toString(value.scalar_type()),
                                value.is_contiguous() ? "contiguous" : "strided"));
}

double squared_sum_of(const DeferredGradient& gradient) {
  std::vector<double> sums(static_cast<std::size_t>(gradient.blocks()));
  gradient.for_each_run(
      {}, [&](std::int64_t block, std::int64_t, const float* values, std::int64_t n) {
        sums[static_cast<std::size_t>(block)] += kernels::sum_of_squares_cpu(values, n);
      });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

/// Of the elements that the gradient covers.
void update_by(const UpdateRange& range, const DeferredGradient& gradient,
               const ElementUpdate& update) {
  std::vector<const float*> near = {range.value};
  for (const float* state : {range.state1, range.state2})
    if (state != nullptr) near.push_back(state);
  gradient.for_each_run(near,
                        [&](std::int64_t, std::int64_t first, const float* values, std::int64_t n) {
                          update(range.value + first, skipped(range.state1, first),
                                 skipped(range.state2, first), values, n);
                        });
}

}  // namespace

StageParameters::StageParameters(std::vector<StageParameter> parameters,
                                 const std::vector<double>& shares,
                                 const OptimizerSettings& settings, const OptimizerState& kept)
    : borders_(shares.size() + 1, 0), settings_(settings) {
  std::partial_sum(shares.begin(), shares.end(), borders_.begin() + 1);
  borders_.back() = 1;  // whatever the round-off
  for (const std::string& prefix : state_prefixes(settings)) states_.push_back({prefix, {}});
  for (const StageParameter& parameter : parameters) {
    need_dense_float(parameter);
    names_.push_back(parameter.name);
    weights_.tensors.push_back(parameter.value);
    float* state[2] = {nullptr, nullptr};
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const auto found = kept.find(states_[i].prefix + parameter.name);
      begins_state_ |= found == kept.end();
      states_[i].tensors.push_back(found == kept.end() ? untouched_zeros_like(parameter.value)
                                                       : found->second);
      state[i] = states_[i].tensors.back().data_ptr<float>();
    }
    add_segments(parameter, state[0], state[1]);
  }
  divide();
}

void StageParameters::add_segments(const StageParameter& parameter, float* state1, float* state2) {
  float* whole = parameter.value.data_ptr<float>();
  const auto add = [&](const at::Tensor& value, std::vector<const ParameterSlot*> slots) {
    float* data = value.data_ptr<float>();
    const std::int64_t offset = data - whole;
    Segment segment{{data,
                     state1 ? state1 + offset : nullptr,
                     state2 ? state2 + offset : nullptr,
                     {},
                     value.numel()},
                    std::move(slots)};
    if (segment.slots.front()->deferred) return add_deferred(std::move(segment));
    segments_.push_back(std::move(segment));
  };
  const auto is_slice = [&](const ParameterSlot* slot) {
    return slot->value.numel() != parameter.value.numel();
  };
  if (std::none_of(parameter.slots.begin(), parameter.slots.end(), is_slice))
    return add(parameter.value, parameter.slots);
  for (const ParameterSlot* slot : parameter.slots)
    if (slot->value.numel() > 0) add(slot->value, {slot});
}

void StageParameters::add_deferred(Segment segment) {
  const std::int64_t columns = segment.slots.front()->value.size(1);
  DeferredSegment deferred{std::move(segment), {}};
  for (std::size_t w = 0; w < workers(); ++w)
    deferred.columns.push_back(columns_between(columns, borders_[w], borders_[w + 1]));
  deferred_.push_back(std::move(deferred));
}

void StageParameters::divide() {
  const std::int64_t all =
      std::accumulate(segments_.begin(), segments_.end(), std::int64_t{0},
                      [](auto sum, const Segment& s) { return sum + s.range.elements; });
  std::vector<std::int64_t> borders;  // of all elements, at whole lines
  for (const double border : borders_) {
    const double lines = std::ceil(static_cast<double>(all) * border / kLine);
    borders.push_back(std::min(all, static_cast<std::int64_t>(lines) * kLine));
  }
  pieces_.resize(workers());
  std::int64_t before = 0;  // elements of the segments before this one
  for (std::size_t s = 0; s < segments_.size(); ++s) {
    const std::int64_t elements = segments_[s].range.elements;
    for (std::size_t w = 0; w < workers(); ++w) {
      const std::int64_t begin = std::clamp(borders[w] - before, std::int64_t{0}, elements);
      const std::int64_t end = std::clamp(borders[w + 1] - before, std::int64_t{0}, elements);
      if (begin < end) pieces_[w].push_back({s, begin, end});
    }
    before += elements;
  }
}

UpdateRange StageParameters::range_of(const Piece& piece) const {
  const Segment& segment = segments_[piece.segment];
  UpdateRange range = segment.range;
  const auto skip = [&](float* data) { return data ? data + piece.begin : nullptr; };
  range.value = skip(range.value);
  range.state1 = skip(range.state1);
  range.state2 = skip(range.state2);
  range.elements = piece.end - piece.begin;
  for (const ParameterSlot* slot : segment.slots)
    if (slot->gradient.defined())
      range.gradients.push_back(slot->gradient.data_ptr<float>() + piece.begin);
  return range;
}

template <typename Work>
void StageParameters::for_each_deferred(int worker, const Work& work) const {
  for (const DeferredSegment& deferred : deferred_) {
    const ColumnRange columns = deferred.columns[static_cast<std::size_t>(worker)];
    if (columns.empty() || !has_products(deferred.segment.slots)) continue;
    work(deferred.segment.range, DeferredGradient(deferred.segment.slots, columns));
  }
}

double StageParameters::squared_norm(int worker) const {
  double sum = 0;
  for (const Piece& piece : pieces_[static_cast<std::size_t>(worker)]) {
    const UpdateRange range = range_of(piece);
    if (!range.gradients.empty()) sum += squared_sum(range);
  }
  for_each_deferred(worker, [&](const UpdateRange&, const DeferredGradient& gradient) {
    sum += squared_sum_of(gradient);
  });
  return sum;
}

void StageParameters::update(int worker, const StepContext& step) {
  update_pieces(worker, step);
  const ElementUpdate update =
      element_update(settings_, step.learning_rate, step.step, step.clip_scale);
  for_each_deferred(worker, [&](const UpdateRange& range, const DeferredGradient& gradient) {
    update_by(range, gradient, update);
  });
}

void StageParameters::update_pieces(int worker, const StepContext& step) {
  for (const Piece& piece : pieces_[static_cast<std::size_t>(worker)]) {
    const UpdateRange range = range_of(piece);
    if (range.gradients.empty()) continue;
    apply_update(range, settings_, step.learning_rate, step.step, step.clip_scale);
  }
}

std::vector<StateTensor> StageParameters::views(const Named& named) const {
  std::vector<StateTensor> result;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const at::Tensor& tensor = named.tensors[i];
    result.push_back(
        {named.prefix + names_[i], tensor.sizes().vec(), tensor.data_ptr<float>(), tensor.numel()});
  }
  return result;
}

std::vector<StateTensor> StageParameters::weights() const { return views(weights_); }

std::vector<StateTensor> StageParameters::optimizer_state() const {
  std::vector<StateTensor> result;
  for (const Named& state : states_) {
    const std::vector<StateTensor> tensors = views(state);
    result.insert(result.end(), tensors.begin(), tensors.end());
  }
  return result;
}

OptimizerState StageParameters::optimizer_tensors() const {
  OptimizerState result;
  for (const Named& state : states_)
    for (std::size_t i = 0; i < names_.size(); ++i)
      result.emplace(state.prefix + names_[i], state.tensors[i]);
  return result;
}

}  // namespace millrace
