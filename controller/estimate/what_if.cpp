#include "controller/estimate/what_if.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

constexpr int kMostCores = 4096;

[[noreturn]] void refuse(const std::string& flag, const std::string& text) {
  throw ConfigError("usage", fmt::format("{} {}: needs whole numbers from 1 to {}, such as 1..8 or "
                                         "1,2,4",
                                         flag, text, kMostCores));
}

std::optional<int> read_count(const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && value >= 1 && value <= kMostCores ? std::optional(value) : std::nullopt;
}

template <typename Costs>
void leave_out(std::map<std::string, Costs>& costs, const std::set<std::string>& kinds) {
  std::erase_if(costs, [&](const auto& entry) { return kinds.contains(entry.first); });
}

void leave_out(std::optional<PassWidths>& widths, const std::set<std::string>& kinds) {
  if (!widths) return;
  for (auto* pass :
       {&widths->forward, &widths->backward, &widths->input_gradient, &widths->weight_gradient})
    leave_out(*pass, kinds);
  if (widths->forward.empty()) widths.reset();
}

}  // namespace

std::vector<int> parse_counts(const std::string& flag, const std::string& text) {
  std::set<int> counts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t dots = part.find("..");
    const auto first = read_count(part.substr(0, dots));
    const auto last = dots == std::string::npos ? first : read_count(part.substr(dots + 2));
    if (!first || !last || *first > *last) refuse(flag, text);
    for (int count = *first; count <= *last; ++count) counts.insert(count);
    begin = end + 1;
  }
  return {counts.begin(), counts.end()};
}

bool is_core(const DeviceKind& kind) { return !kind.name.starts_with("gpu"); }

int core_count(const Profile& profile) {
  int cores = 0;
  for (const DeviceKind& kind : profile.kinds) cores += is_core(kind) ? kind.count : 0;
  return cores;
}

std::vector<int> fastest_cores(const Profile& profile, int cores) {
  std::vector<int> counts;
  for (const DeviceKind& kind : profile.kinds) {
    counts.push_back(is_core(kind) ? std::min(kind.count, cores) : kind.count);
    if (is_core(kind)) cores -= counts.back();
  }
  return counts;
}

Profile limited_to(Profile profile, const std::vector<int>& counts) {
  std::set<std::string> gone;
  for (std::size_t k = 0; k < profile.kinds.size(); ++k) {
    profile.kinds[k].count = counts[k];
    if (counts[k] == 0) gone.insert(profile.kinds[k].name);
  }
  std::erase_if(profile.kinds, [](const DeviceKind& kind) { return kind.count == 0; });
  for (LayerCosts& layer : profile.layers) {
    for (PerKind* costs : {&layer.forward_ns, &layer.backward_ns, &layer.input_gradient_ns,
                           &layer.weight_gradient_ns})
      leave_out(*costs, gone);
    leave_out(layer.update_ns, gone);
    leave_out(layer.loaded, gone);
    leave_out(layer.implementation, gone);
    leave_out(layer.threads_ns, gone);
    leave_out(layer.features_ns, gone);
  }
  return profile;
}

double efficiency_percent(const Estimate& one_core, const Estimate& estimate, int cores) {
  return 100 * one_core.step.expected_ns / (cores * estimate.step.expected_ns);
}

std::optional<std::size_t> fewest_cores_in_time(const std::vector<PlanOption>& options,
                                                double left_ns) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const PlanOption& option = options[i];
    if (!option.plan || option.estimate.run.latest_ns > left_ns) continue;
    const auto rank = [&](std::size_t of) {
      return std::pair(options[of].cores, options[of].estimate.run.latest_ns);
    };
    if (!best || rank(i) < rank(*best)) best = i;
  }
  return best;
}

std::optional<std::size_t> fastest_option(const std::vector<PlanOption>& options) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (!options[i].plan) continue;
    const auto expected = [&](std::size_t of) { return options[of].estimate.run.expected_ns; };
    if (!best || expected(i) < expected(*best)) best = i;
  }
  return best;
}

}  // namespace millrace
