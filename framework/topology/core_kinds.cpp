#include "framework/topology/core_kinds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "framework/topology/core_models.hpp"

namespace millrace {
namespace {

constexpr double kSameSpeed = 0.9;
// What Linux says of the LITTLE cores of many SoCs: 0.37 to 0.45.
constexpr double kSlowestByRank = 0.4;

struct Candidate {
  std::vector<int> cpus;
  double speed = 1.0;
  std::string model;
  bool mergeable = true;
};

std::vector<int> intersect(std::vector<int> cpus, const std::vector<int>& usable) {
  std::erase_if(
      cpus, [&](int cpu) { return std::find(usable.begin(), usable.end(), cpu) == usable.end(); });
  std::sort(cpus.begin(), cpus.end());
  return cpus;
}

std::vector<RawKind> usable_kinds(const std::vector<RawKind>& raw, const std::vector<int>& usable) {
  std::vector<RawKind> result;
  for (RawKind kind : raw) {
    kind.cpus = intersect(std::move(kind.cpus), usable);
    if (!kind.cpus.empty()) result.push_back(std::move(kind));
  }
  return result;
}

std::vector<int> uncovered_cpus(const std::vector<RawKind>& kinds, const std::vector<int>& usable) {
  std::vector<int> rest = usable;
  for (const RawKind& kind : kinds) {
    std::erase_if(rest, [&](int cpu) {
      return std::find(kind.cpus.begin(), kind.cpus.end(), cpu) != kind.cpus.end();
    });
  }
  return rest;
}

std::optional<double> number_of(const RawKind& kind, const std::string& info) {
  const auto found = kind.infos.find(info);
  if (found == kind.infos.end()) return std::nullopt;
  double value = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(value) || value <= 0) return std::nullopt;
  return value;
}

std::string model_of(const RawKind& kind) {
  const auto type = kind.infos.find("CoreType");
  if (type != kind.infos.end()) return type->second;
  const auto part = kind.infos.find("CPUPart");
  if (part == kind.infos.end() || !part->second.starts_with("0x")) return "";
  std::uint32_t number = 0;
  const char* begin = part->second.data() + 2;
  std::from_chars(begin, part->second.data() + part->second.size(), number, 16);
  constexpr std::uint32_t kArm = 0x41;
  return arm_core_model(kArm, number);
}

// Speeds by one measure; nothing where a kind lacks it, or where it is the same for all: then it is
// something else that makes them kinds.
std::optional<std::vector<double>> speeds_by(const std::vector<RawKind>& kinds,
                                             const std::string& info) {
  std::vector<double> speeds;
  for (const RawKind& kind : kinds) {
    const auto value = number_of(kind, info);
    if (!value) return std::nullopt;
    speeds.push_back(*value);
  }
  const bool same =
      std::adjacent_find(speeds.begin(), speeds.end(), std::not_equal_to<>()) == speeds.end();
  if (same && speeds.size() > 1) return std::nullopt;
  return speeds;
}

std::vector<double> speeds_by_rank(const std::vector<RawKind>& kinds) {
  const auto slower = [](const RawKind& a, const RawKind& b) { return a.rank < b.rank; };
  const auto [lowest, highest] = std::minmax_element(kinds.begin(), kinds.end(), slower);
  std::vector<double> speeds;
  for (const RawKind& kind : kinds) {
    const double span = highest->rank - lowest->rank;
    const double place = span > 0 ? (kind.rank - lowest->rank) / span : 1.0;
    speeds.push_back(kSlowestByRank + (1.0 - kSlowestByRank) * place);
  }
  return speeds;
}

std::vector<Candidate> candidates_of(const std::vector<RawKind>& kinds,
                                     std::vector<Warning>& warnings) {
  std::optional<std::vector<double>> speeds;
  for (const char* measure : {"LinuxCapacity", "FrequencyMaxMHz", "FrequencyBaseMHz"}) {
    if (!speeds) speeds = speeds_by(kinds, measure);
  }
  const bool measured = speeds.has_value();
  if (!measured) speeds = speeds_by_rank(kinds);
  if (!measured && kinds.size() > 1) {
    warnings.push_back(
        {"kinds", fmt::format("{} kinds of core are reported and neither capacity nor clock "
                              "tells them apart: their relative speeds are guesses until "
                              "`millrace profile` has run",
                              kinds.size())});
  }
  std::vector<Candidate> result;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    // Kinds of unknown speed are told apart by their ranks alone, so they are never the same.
    result.push_back({kinds[i].cpus, (*speeds)[i], model_of(kinds[i]), measured});
  }
  return result;
}

void add_uncovered(std::vector<Candidate>& candidates, std::vector<int> cpus,
                   std::vector<Warning>& warnings) {
  if (cpus.empty()) return;
  double fastest = 0;
  for (const Candidate& candidate : candidates) fastest = std::max(fastest, candidate.speed);
  if (!candidates.empty()) {
    warnings.push_back(
        {"kinds", fmt::format("CPUs {} are in no kind of core that the system reports: they are "
                              "taken for as fast as the fastest until `millrace profile` has run",
                              format_cpu_list(cpus))});
  }
  candidates.push_back({std::move(cpus), candidates.empty() ? 1.0 : fastest, "", false});
}

double mean_speed(const std::vector<Candidate>& group) {
  double sum = 0, count = 0;
  for (const Candidate& candidate : group) {
    sum += candidate.speed * static_cast<double>(candidate.cpus.size());
    count += static_cast<double>(candidate.cpus.size());
  }
  return sum / count;
}

Candidate merged(const std::vector<Candidate>& group) {
  Candidate result = group.front();
  result.speed = mean_speed(group);
  for (auto next = group.begin() + 1; next != group.end(); ++next) {
    result.cpus.insert(result.cpus.end(), next->cpus.begin(), next->cpus.end());
    if (result.model.find(next->model) == std::string::npos) {
      result.model += (result.model.empty() ? "" : "/") + next->model;
    }
  }
  return result;
}

// `candidates` stand from the fastest to the slowest; each group is bound to its fastest member, so
// that a slow slope of kinds does not end in one.
std::vector<Candidate> merge_within_ten_percent(const std::vector<Candidate>& candidates) {
  std::vector<std::vector<Candidate>> groups;
  for (const Candidate& candidate : candidates) {
    const bool joins = !groups.empty() && candidate.mergeable && groups.back().front().mergeable &&
                       candidate.speed >= kSameSpeed * groups.back().front().speed;
    if (!joins) groups.emplace_back();
    groups.back().push_back(candidate);
  }
  std::vector<Candidate> result;
  for (const auto& group : groups) result.push_back(merged(group));
  return result;
}

}  // namespace

std::string kind_name(std::size_t index, std::size_t count) {
  if (count == 1) return "core";
  if (index == 0) return "big";
  if (index == 1) return count == 2 ? "little" : "medium";
  return index == 2 ? "little" : fmt::format("kind{}", index);
}

namespace {

std::vector<int> first_of_each_core_first(std::vector<int> cpus,
                                          const std::vector<std::vector<int>>& cores) {
  std::sort(cpus.begin(), cpus.end());
  const std::vector<int> ours = cpus;
  const auto is_first = [&](int cpu) {
    for (const std::vector<int>& siblings : cores) {
      if (std::find(siblings.begin(), siblings.end(), cpu) == siblings.end()) continue;
      return cpu == *std::find_first_of(siblings.begin(), siblings.end(), ours.begin(), ours.end());
    }
    return true;
  };
  std::stable_partition(cpus.begin(), cpus.end(), is_first);
  return cpus;
}

}  // namespace

CoreKinds form_core_kinds(const std::vector<RawKind>& raw, const std::vector<int>& usable,
                          const std::vector<std::vector<int>>& cores) {
  CoreKinds result;
  const std::vector<RawKind> kinds = usable_kinds(raw, usable);
  std::vector<Candidate> candidates = candidates_of(kinds, result.warnings);
  add_uncovered(candidates, uncovered_cpus(kinds, usable), result.warnings);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.speed > b.speed; });
  candidates = merge_within_ten_percent(candidates);
  for (std::size_t index = 0; index < candidates.size(); ++index) {
    Candidate& candidate = candidates[index];
    result.kinds.push_back({kind_name(index, candidates.size()),
                            first_of_each_core_first(std::move(candidate.cpus), cores),
                            candidate.speed / candidates.front().speed, candidate.model});
  }
  return result;
}

}  // namespace millrace
