#pragma once
// A small profile and plan whose times can be worked out by hand.

#include <string>
#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace::testing {

/// Layers "a" and "b" on `cores` cores: forward 10 ns and backward 20 ns per sample.
inline Profile example_profile(int cores) {
  Profile profile;
  profile.model = "example";
  profile.samples = {1, 8};
  profile.kinds = {{"core", cores, {}, 0, 0}};
  for (const char* name : {"a", "b"}) {
    LayerCosts layer;
    layer.name = name;
    layer.forward_ns["core"] = {10, 80};
    layer.backward_ns["core"] = {20, 160};
    layer.spread_percent = 3;
    profile.layers.push_back(layer);
  }
  profile.tensors = {{"a", {"b"}, 4, false}};
  return profile;
}

/// A stage per layer, a core each, two micro-batches of 8: forward 80 ns, backward 160 ns.
inline Plan example_plan() {
  Plan plan;
  plan.model = "example";
  plan.batch = 16;
  plan.micro_batch = 8;
  plan.micro_batches = 2;
  for (int s = 0; s < 2; ++s) {
    PlanStage stage;
    stage.layers = {s == 0 ? "a" : "b"};
    stage.devices = {{"core", s}};
    stage.shares = {8};
    stage.forward_ns = 80;
    stage.backward_ns = 160;
    plan.stages.push_back(stage);
  }
  return plan;
}

/// 1F1B of it: F0 [0, 80] F1 [80, 160] | stage 1: F0 [80, 160] B0 [160, 320] F1 B1 [400, 560] |
/// stage 0: B0 [320, 480] B1 [560, 720].
constexpr double kExampleStep = 720;
/// Both stages compute 2 x 240 ns of it.
constexpr double kExampleBusy = 960;

}  // namespace millrace::testing
