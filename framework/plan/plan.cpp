#include "millrace/plan.hpp"

#include <algorithm>
#include <numeric>

#include "millrace/errors.hpp"

namespace millrace {

std::vector<double> PlanStage::feature_parts() const {
  if (!feature_shares.empty()) return feature_shares;
  return std::vector<double>(devices.size(), 1 / static_cast<double>(devices.size()));
}

int PlanStage::workers() const {
  return static_cast<int>(split == Split::features ? devices.size() : shares.size());
}

int PlanStage::threads_each() const {
  if (split != Split::threads || shares.empty()) return 1;
  return static_cast<int>(devices.size() / shares.size());
}

std::vector<int> lanes_of(const Plan& plan) {
  std::vector<int> lanes;
  int next = 0;
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const auto same = std::find_if(
        plan.stages.begin(), plan.stages.begin() + std::ptrdiff_t(s),
        [&](const PlanStage& other) { return other.devices == plan.stages[s].devices; });
    const auto first = static_cast<std::size_t>(same - plan.stages.begin());
    lanes.push_back(first < s ? lanes[first] : next++);
  }
  return lanes;
}

std::vector<std::int64_t> shares_of(const std::vector<std::int64_t>& shares, std::int64_t samples) {
  const std::int64_t all = std::accumulate(shares.begin(), shares.end(), std::int64_t{0});
  MILLRACE_CHECK(all > 0 && samples >= 0, "plan", "shares of a stage sum to at least 1");
  std::vector<std::int64_t> result, remainders;
  std::int64_t left = samples;
  for (const std::int64_t share : shares) {
    result.push_back(share * samples / all);
    remainders.push_back(share * samples % all);
    left -= result.back();
  }
  std::vector<std::size_t> order(shares.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return remainders[a] > remainders[b]; });
  for (std::int64_t i = 0; i < left; ++i) ++result[order[static_cast<std::size_t>(i)]];
  return result;
}

std::int64_t samples_in(const Plan& plan, std::int64_t micro_batch_index) {
  return std::min(plan.micro_batch, plan.batch - micro_batch_index * plan.micro_batch);
}

std::string to_string(Split split) {
  switch (split) {
    case Split::threads:
      return "threads";
    case Split::features:
      return "features";
    default:
      return "samples";
  }
}

std::string to_string(Objective objective) {
  return objective == Objective::period ? "period" : "makespan";
}

}  // namespace millrace
