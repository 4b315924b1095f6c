#include "framework/profile/feature_team.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include "framework/layers/deferred_gradient.hpp"

namespace millrace {
namespace {

void form_gradients(FeatureOp& op) {
  for (const ParameterSlot& slot : op.parameters())
    if (slot.deferred)
      DeferredGradient({&slot}, {0, slot.value.size(1)}).for_each_run({}, [](auto&&...) {});
}

}  // namespace

FeatureTeam::FeatureTeam(const Model& model, const std::vector<LayerFacts>& facts,
                         const ChainChoice& choice, const std::vector<int>& cpus)
    : layers_(facts.size()), team_(cpus) {
  const std::vector<std::vector<bool>> needed = input_gradients(facts);
  for (std::size_t l = 0; l < facts.size(); ++l) {
    if (!can_split_features(facts[l])) continue;
    Divided divided;
    divided.layer = l;
    divided.inputs = facts[l].input_shape[0];
    divided.outputs = facts[l].output_shape[0];
    divided.input_gradient = needed[l].front();
    divided.forms_gradients = deferred_bytes_per_sample(facts[l], choice[l]) == 0;
    for (int member = 0; member < team_.size(); ++member) {
      divided.ops.push_back(make_feature_op(model.layers[l], facts[l], static_cast<int>(l),
                                            slice_of(equal_shares(team_.size()), member)));
    }
    divided_.push_back(std::move(divided));
  }
}

void FeatureTeam::resize(std::int64_t samples) {
  if (samples == samples_) return;
  samples_ = samples;
  for (Divided& divided : divided_) {
    divided.buffers = {at::randn({samples, divided.inputs}), at::empty({samples, divided.outputs}),
                       at::randn({samples, divided.outputs}), at::empty({samples, divided.inputs})};
  }
}

PassTimes FeatureTeam::pass(std::int64_t samples, const LayerChain::BeforeLayer& before) {
  resize(samples);
  const std::vector<double> zeros(layers_, 0.0);
  PassTimes times = {zeros, zeros, {}};
  team_.run([&](int member, const CoreTeam::Meet& meet) {
    const auto m = static_cast<std::size_t>(member);
    std::vector<Saved> saved(divided_.size());
    // Times one layer on all members; member 0 writes it down.
    const auto timed = [&](const Divided& divided, std::vector<double>& ns, const auto& work) {
      if (member == 0 && before) before(divided.layer);
      meet();
      const double begin_ns = steady_ns();
      work();
      meet();
      if (member == 0) ns[divided.layer] = steady_ns() - begin_ns;
    };
    for (std::size_t i = 0; i < divided_.size(); ++i) {
      Divided& divided = divided_[i];
      FeatureOp& op = *divided.ops[m];
      op.clear_gradients();
      timed(divided, times.forward_ns,
            [&] { op.forward(divided.buffers.x, divided.buffers.y, DrawKey{}, true, &saved[i]); });
    }
    for (std::size_t i = divided_.size(); i-- > 0;) {
      Divided& divided = divided_[i];
      timed(divided, times.backward_ns, [&] {
        FeatureOp& op = *divided.ops[m];
        op.backward(divided.buffers.dy, divided.buffers.dx, saved[i], divided.input_gradient);
        if (divided.forms_gradients) form_gradients(op);
      });
    }
  });
  return times;
}

}  // namespace millrace
