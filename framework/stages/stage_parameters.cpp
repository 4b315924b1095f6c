#include "framework/stages/stage_parameters.hpp"

#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

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

}  // namespace

StageParameters::StageParameters(std::vector<StageParameter> parameters, int workers,
                                 const OptimizerSettings& settings)
    : settings_(settings) {
  for (const std::string& prefix : state_prefixes(settings)) states_.push_back({prefix, {}});
  for (const StageParameter& parameter : parameters) {
    need_dense_float(parameter);
    names_.push_back(parameter.name);
    weights_.tensors.push_back(parameter.value);
    float* state[2] = {nullptr, nullptr};
    for (std::size_t i = 0; i < states_.size(); ++i) {
      states_[i].tensors.push_back(at::zeros_like(parameter.value));
      state[i] = states_[i].tensors.back().data_ptr<float>();
    }
    add_segments(parameter, state[0], state[1]);
  }
  divide(workers);
}

void StageParameters::add_segments(const StageParameter& parameter, float* state1, float* state2) {
  float* whole = parameter.value.data_ptr<float>();
  const auto add = [&](const at::Tensor& value, std::vector<const ParameterSlot*> slots) {
    float* data = value.data_ptr<float>();
    const std::int64_t offset = data - whole;
    segments_.push_back({{data,
                          state1 ? state1 + offset : nullptr,
                          state2 ? state2 + offset : nullptr,
                          {},
                          value.numel()},
                         std::move(slots)});
  };
  const bool sliced = parameter.slots.front()->value.numel() != parameter.value.numel();
  if (!sliced) return add(parameter.value, parameter.slots);
  for (const ParameterSlot* slot : parameter.slots) add(slot->value, {slot});
}

void StageParameters::divide(int workers) {
  const std::int64_t all =
      std::accumulate(segments_.begin(), segments_.end(), std::int64_t{0},
                      [](auto sum, const Segment& s) { return sum + s.range.elements; });
  const std::int64_t each = (all / workers + kLine) / kLine * kLine;
  pieces_.resize(static_cast<std::size_t>(workers));
  std::int64_t before = 0;  // elements of the segments before this one
  for (std::size_t s = 0; s < segments_.size(); ++s) {
    const std::int64_t elements = segments_[s].range.elements;
    for (int w = 0; w < workers; ++w) {
      const std::int64_t begin = std::clamp(each * w - before, std::int64_t{0}, elements);
      const std::int64_t end = std::clamp(each * (w + 1) - before, std::int64_t{0}, elements);
      if (begin < end) pieces_[static_cast<std::size_t>(w)].push_back({s, begin, end});
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
    if (slot->accumulated)
      range.gradients.push_back(slot->gradient.data_ptr<float>() + piece.begin);
  return range;
}

double StageParameters::squared_norm(int worker) const {
  double sum = 0;
  for (const Piece& piece : pieces_[static_cast<std::size_t>(worker)]) {
    const UpdateRange range = range_of(piece);
    if (!range.gradients.empty()) sum += squared_sum(range);
  }
  return sum;
}

void StageParameters::update(int worker, const StepContext& step) {
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

}  // namespace millrace
