// A plan's stages in the cost model's terms, with the checks that need no more than one stage.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <set>

#include "framework/plan/assemble.hpp"
#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

/// What written shares may miss their sum by.
constexpr double kShareSum = 1e-3;

class StageReader {
 public:
  /// `sole`: no other devices have stages.
  StageReader(const CostModel& model, const Plan& plan, std::size_t index, bool sole)
      : model_(model), plan_(plan), index_(index), sole_(sole), stage_(plan.stages[index]) {}

  /// `first`: the cut of the layers of the stages before.
  StageOption read(int first, const Batching& batching) const {
    const int devices = state();
    check_shares();
    StageShape shape =
        model_.shape(first, end(first), devices, stage_.split, stage_.threads_each(), sole_);
    check_split(shape);
    set_feature_parts(shape);
    set_recompute(shape);
    const ShareGroups shares = groups();
    return {shape, shares, model_.cost(shape, batching, shares)};
  }

 private:
  [[noreturn]] void refuse(const std::string& problem) const {
    throw ConfigError("plan", fmt::format("stage {}: {}", index_, problem));
  }

  int kind_of(const PlannedDevice& device) const {
    const int kind = model_.profile().kind_index(device.kind);
    if (kind >= 0) return kind;
    refuse(
        fmt::format("the costs know no kind \"{}\" (CPU {}): take one that they name, or measure "
                    "this machine",
                    device.kind, device.cpu));
  }

  int state() const {
    if (stage_.devices.empty()) refuse("has no devices: at least 1 is needed");
    int state = 0;
    std::map<int, int> counts;
    for (const PlannedDevice& device : stage_.devices) {
      const int kind = kind_of(device);
      if (++counts[kind] > model_.states().count(model_.states().all(), kind)) {
        refuse(fmt::format("takes more devices of \"{}\" than the {} that there are: take fewer",
                           device.kind, model_.states().count(model_.states().all(), kind)));
      }
      state += model_.states().state_of(kind, 1);
    }
    return state;
  }

  void check_shares() const {
    const std::size_t devices = stage_.devices.size(), shares = stage_.shares.size();
    const bool threads = stage_.split == Split::threads;
    if (shares == 0 || (threads ? devices % shares != 0 : devices != shares)) {
      refuse(fmt::format("has {} shares for {} devices, split \"{}\" needs {}", shares, devices,
                         to_string(stage_.split),
                         threads ? "as many devices for each share" : "one for each device"));
    }
    for (const std::int64_t share : stage_.shares) {
      if (share < 1) {
        refuse(fmt::format("has a share of {}, at least 1 sample is needed: leave the device out",
                           share));
      }
      if (share > plan_.micro_batch) {
        refuse(fmt::format("has a share of {}, the micro-batch has {} samples", share,
                           plan_.micro_batch));
      }
    }
    const std::int64_t sum =
        std::accumulate(stage_.shares.begin(), stage_.shares.end(), std::int64_t{0});
    if (sum != plan_.micro_batch) {
      refuse(fmt::format("shares sum to {}, the micro-batch is {}: correct the shares", sum,
                         plan_.micro_batch));
    }
  }

  /// `done`: positions that have run.
  void check_inputs(int position, const std::set<int>& done) const {
    for (const int input : model_.graph().inputs[position]) {
      if (done.contains(input)) continue;
      const std::string& read = model_.layer(input).name;
      const bool there =
          std::any_of(plan_.stages.begin(), plan_.stages.end(), [&](const PlanStage& stage) {
            return std::find(stage.layers.begin(), stage.layers.end(), read) != stage.layers.end();
          });
      refuse(
          fmt::format("has layer \"{}\" before \"{}\", which it reads and which is {}: every "
                      "layer of the model, once, in an order in which they can run",
                      model_.layer(position).name, read, there ? "behind it" : "in no stage"));
    }
  }

  /// The cut that the stage's layers make of `first`.
  int end(int first) const {
    if (stage_.layers.empty()) refuse("has no layers: leave the stage out");
    std::set<int> done;
    model_.cuts().visit_members(0, first, [&](int position) { done.insert(position); });
    std::vector<int> own;
    for (const std::string& name : stage_.layers) {
      own.push_back(position(name));
      check_inputs(own.back(), done);
      if (!done.insert(own.back()).second)
        refuse(fmt::format("has layer \"{}\" for the second time", name));
    }
    const int cut = model_.cuts().with(first, own);
    if (cut < 0) {
      refuse(
          fmt::format("ends where this graph of more than {} ideals is not cut: search a plan "
                      "for these costs",
                      model_.cuts().size()));
    }
    return cut;
  }

  int position(const std::string& name) const {
    for (int p = 0; p < model_.layers(); ++p) {
      if (model_.layer(p).name == name) return p;
    }
    refuse(fmt::format("has layer \"{}\", which the model does not have: plan again", name));
  }

  /// Devices of one kind may have unlike parts: the largest counts.
  void set_feature_parts(StageShape& shape) const {
    const std::vector<double>& shares = stage_.feature_shares;
    if (shares.empty()) return;
    check_feature_shares(shape);
    std::array<double, kMostKinds> parts{};
    for (std::size_t d = 0; d < shares.size(); ++d) {
      double& part = parts[static_cast<std::size_t>(kind_of(stage_.devices[d]))];
      part = std::max(part, shares[d]);
    }
    shape.parts = std::make_shared<const std::array<double, kMostKinds>>(parts);
  }

  void check_feature_shares(const StageShape& shape) const {
    const std::vector<double>& shares = stage_.feature_shares;
    if (shape.run.empty())
      refuse(fmt::format("has feature_shares, split \"{}\" divides no features: leave them out",
                         to_string(shape.split)));
    if (shares.size() != stage_.devices.size())
      refuse(
          fmt::format("has {} feature_shares for {} devices: one for each, or leave the field "
                      "out",
                      shares.size(), stage_.devices.size()));
    for (const double share : shares)
      if (!(share >= 0))
        refuse(
            fmt::format("has a feature share of {:g}, none may be below 0: correct it, or leave "
                        "feature_shares out",
                        share));
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    if (!(std::abs(sum - 1) <= kShareSum))
      refuse(
          fmt::format("has feature_shares whose sum is {:g}, it must be 1: correct them, or "
                      "leave the field out",
                      sum));
  }

  void set_recompute(StageShape& shape) const {
    if (stage_.recompute.empty()) return;
    std::set<int> positions;
    for (const std::string& name : stage_.recompute) {
      if (std::find(stage_.layers.begin(), stage_.layers.end(), name) == stage_.layers.end())
        refuse(fmt::format("recomputes \"{}\", which is none of its layers: leave it out", name));
      if (!positions.insert(position(name)).second)
        refuse(fmt::format("recomputes \"{}\" for the second time: leave it out", name));
    }
    shape.recompute = positions.size() == stage_.layers.size();
    if (shape.recompute) return;
    if (shape.split == Split::features)
      refuse(
          fmt::format("recomputes {} of its {} layers and is split by features: name all of "
                      "them or none",
                      stage_.recompute.size(), stage_.layers.size()));
    shape.again = std::make_shared<const std::vector<int>>(positions.begin(), positions.end());
  }

  void check_split(const StageShape& shape) const {
    const std::string reason = model_.why_not(shape);
    if (!reason.empty()) {
      refuse(fmt::format("split \"{}\" over {} devices is not possible: {}", to_string(shape.split),
                         stage_.devices.size(), reason));
    }
    const auto expected = feature_layers(model_, shape);
    if (!stage_.feature_layers.empty() && stage_.feature_layers != expected) {
      refuse(fmt::format("feature_layers are [{}], the rule gives [{}]: leave the field out",
                         fmt::join(stage_.feature_layers, ", "), fmt::join(expected, ", ")));
    }
  }

  ShareGroups groups() const {
    ShareGroups result;
    const auto width = static_cast<std::size_t>(stage_.threads_each());
    for (std::size_t r = 0; r < stage_.shares.size();) {
      std::size_t end = r + 1;
      const auto same = [&](std::size_t other) {
        return stage_.shares[other] == stage_.shares[r] &&
               stage_.devices[other * width].kind == stage_.devices[r * width].kind;
      };
      while (end < stage_.shares.size() && same(end)) ++end;
      if (result.size() == ShareGroups::kMostGroups) {
        refuse(
            fmt::format("changes share or kind more than {} times: sort its devices by kind and "
                        "share",
                        ShareGroups::kMostGroups));
      }
      result.add(kind_of(stage_.devices[r * width]), static_cast<int>(end - r), stage_.shares[r]);
      r = end;
    }
    return result;
  }

  const CostModel& model_;
  const Plan& plan_;
  std::size_t index_;
  bool sole_;
  const PlanStage& stage_;
};

}  // namespace

std::vector<StageOption> read_stages(const CostModel& model, const Plan& plan,
                                     const Batching& batching) {
  std::vector<StageOption> result;
  const bool sole = count_lanes(lanes_of(plan)) == 1;
  int first = 0;
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    result.push_back(StageReader(model, plan, s, sole).read(first, batching));
    first = result.back().shape.last;
  }
  model.cuts().visit_members(first, model.cuts().all(), [&](int position) {
    throw ConfigError("plan", fmt::format("layer \"{}\" is in no stage: every layer of the model "
                                          "belongs to one",
                                          model.layer(position).name));
  });
  return result;
}

}  // namespace millrace
