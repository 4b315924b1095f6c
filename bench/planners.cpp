#include "bench/planners.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "framework/plan/plan_graph.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> block_costs(const std::vector<double>& costs,
                                const std::vector<Block>& blocks) {
  std::vector<double> sums;
  auto at = costs.begin();
  for (const Block& block : blocks) {
    sums.push_back(std::accumulate(at, at + block.layers, 0.0));
    at += block.layers;
  }
  return sums;
}

/// Moves a border of the most expensive block, where that helps.
bool improve(const std::vector<double>& costs, std::vector<Block>& blocks) {
  const auto before = block_costs(costs, blocks);
  const auto worst = std::max_element(before.begin(), before.end());
  const auto s = static_cast<std::size_t>(worst - before.begin());
  for (const int step : {-1, 1}) {
    const std::size_t other = s + static_cast<std::size_t>(step);
    if (other >= blocks.size() || blocks[s].layers == 1) continue;
    std::vector<Block> moved = blocks;
    --moved[s].layers;
    ++moved[other].layers;
    const auto after = block_costs(costs, moved);
    if (*std::max_element(after.begin(), after.end()) >= *worst) continue;
    blocks = moved;
    return true;
  }
  return false;
}

/// Best[d][l]: of the first l layers on d devices, blocks of up to `most_devices`.
std::vector<Block> bottleneck(const std::vector<double>& costs, int P, int most_devices) {
  const auto layers = static_cast<int>(costs.size());
  std::vector<double> sums(costs.size() + 1, 0);
  std::partial_sum(costs.begin(), costs.end(), sums.begin() + 1);
  struct Entry {
    double ns = kInfinity;
    Block last;
  };
  const auto rows = static_cast<std::size_t>(P + 1);
  std::vector<std::vector<Entry>> best(rows, std::vector<Entry>(costs.size() + 1));
  for (auto& row : best) row[0].ns = 0;
  for (int d = 1; d <= P; ++d) {
    for (int l = 1; l <= layers; ++l) {
      Entry& entry = best[d][l];
      for (int n = 1; n <= std::min(d, most_devices); ++n) {
        for (int first = 0; first < l; ++first) {
          const double ns = std::max(best[d - n][first].ns, (sums[l] - sums[first]) / n);
          if (ns < entry.ns) entry = {ns, {l - first, n}};
        }
      }
    }
  }
  std::vector<Block> blocks;
  for (int l = layers, d = P; l > 0;) {
    const Block last = best[d][l].last;
    blocks.push_back(last);
    l -= last.layers;
    d -= last.devices;
  }
  std::reverse(blocks.begin(), blocks.end());
  return blocks;
}

std::vector<Block> equal_cut(const std::vector<double>& costs, int P) {
  return equal_split(static_cast<int>(costs.size()), P);
}

double layer_ns(const Profile& profile, const LayerCosts& layer, std::int64_t samples) {
  const std::string& kind = profile.kinds.front().name;
  const auto ns = [&](const PerKind& costs) {
    const auto found = costs.find(kind);
    return found == costs.end() ? 0
                                : interpolate_ns(profile.samples, found->second, double(samples));
  };
  return ns(layer.forward_ns) + ns(layer.backward_ns);
}

/// The least over the schedules; infinity where a block has more devices than samples.
double step_ns(const Profile& profile, const Planner& planner, int P, std::int64_t batch,
               std::int64_t micro_batch) {
  std::vector<double> costs;
  for (const int layer : plan_graph(profile).order)
    costs.push_back(
        layer_ns(profile, profile.layers[static_cast<std::size_t>(layer)], micro_batch));
  const std::vector<Block> blocks = planner.cut(costs, P);
  double best = kInfinity;
  for (const Block& block : blocks)
    if (block.devices > micro_batch) return best;
  for (const std::string schedule : {"fill-drain", "1f1b", "zero-bubble"}) {
    const Plan plan = plan_of(profile, blocks, batch, micro_batch, schedule);
    const auto times = predicted_times(plan, profile, batch);
    const Schedule actions = make_schedule(schedule, static_cast<int>(blocks.size()),
                                           static_cast<int>(plan.micro_batches));
    best = std::min(best, simulate_makespan_ns(actions, times));
  }
  return best;
}

}  // namespace

std::vector<Block> equal_split(int layers, int P) {
  std::vector<Block> blocks(static_cast<std::size_t>(P), Block{layers / P});
  for (int s = 0; s < layers % P; ++s) ++blocks[static_cast<std::size_t>(s)].layers;
  return blocks;
}

std::vector<Block> block_partition(const std::vector<double>& costs, int P) {
  std::vector<Block> blocks = equal_cut(costs, P);
  while (improve(costs, blocks)) {
  }
  return blocks;
}

std::vector<Block> least_largest(const std::vector<double>& costs, int P) {
  return bottleneck(costs, P, 1);
}

std::vector<Block> least_bottleneck(const std::vector<double>& costs, int P) {
  return bottleneck(costs, P, P);
}

const std::vector<Planner>& planners() {
  static const std::vector<Planner> all = {{"equal split", equal_cut},
                                           {"torchgpipe", block_partition},
                                           {"sum + (M-1) max", least_largest},
                                           {"PipeDream", least_bottleneck}};
  return all;
}

Plan plan_of(const Profile& profile, const std::vector<Block>& blocks, std::int64_t batch,
             std::int64_t micro_batch, const std::string& schedule) {
  Plan plan;
  plan.model = profile.model;
  plan.batch = batch;
  plan.micro_batch = micro_batch;
  plan.micro_batches = (batch + micro_batch - 1) / micro_batch;
  plan.schedule = schedule;
  std::vector<PlannedDevice> devices;
  for (const DeviceKind& kind : profile.kinds)
    for (int i = 0; i < kind.count; ++i)
      devices.push_back({kind.name, static_cast<int>(devices.size())});
  const std::vector<int> order = plan_graph(profile).order;
  auto layer = order.begin();
  auto device = devices.begin();
  for (const Block& block : blocks) {
    PlanStage& stage = plan.stages.emplace_back();
    for (int i = 0; i < block.layers; ++i)
      stage.layers.push_back(profile.layers[static_cast<std::size_t>(*layer++)].name);
    stage.devices.assign(device, device + block.devices);
    device += block.devices;
    stage.shares = shares_of(std::vector<std::int64_t>(stage.devices.size(), 1), micro_batch);
  }
  return plan;
}

double best_step_ns(const Profile& profile, const Planner& planner, std::int64_t batch) {
  std::int64_t devices = 0;
  for (const DeviceKind& kind : profile.kinds) devices += kind.count;
  const auto all = std::min<std::int64_t>(devices, std::ssize(profile.layers));
  double best = kInfinity;
  for (std::int64_t count = 1; count <= batch; count *= 2) {
    const std::int64_t micro_batch = (batch + count - 1) / count;
    // A block may get all devices, each of which needs a sample.
    for (const std::int64_t P : {all, std::min(all, micro_batch)})
      best = std::min(best, step_ns(profile, planner, static_cast<int>(P), batch, micro_batch));
  }
  return best;
}

}  // namespace millrace
