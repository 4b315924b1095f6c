#include "framework/plan/cuts.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace millrace {
namespace {

std::uint64_t hash_of(std::span<const std::uint64_t> set) {
  std::uint64_t hash = 0;
  for (const std::uint64_t word : set) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  }
  return hash;
}

bool all_of_them(const std::vector<int>& positions, std::span<const std::uint64_t> set) {
  return std::all_of(positions.begin(), positions.end(),
                     [&](int p) { return (set[p / 64] >> p % 64) & 1; });
}

bool none_of_them(const std::vector<int>& positions, std::span<const std::uint64_t> set) {
  return std::none_of(positions.begin(), positions.end(),
                      [&](int p) { return (set[p / 64] >> p % 64) & 1; });
}

constexpr std::size_t kMostLooks = 2'000'000;

/// Layers that may run next, at most, when they run in the graph's order.
std::size_t most_ready(const PlanGraph& graph) {
  std::vector<std::size_t> missing;
  std::size_t ready = 0;
  for (const auto& inputs : graph.inputs) {
    missing.push_back(inputs.size());
    ready += inputs.empty() ? 1 : 0;
  }
  std::size_t most = ready;
  for (const auto& readers : graph.readers) {
    --ready;
    for (const int reader : readers) ready += --missing[reader] == 0 ? 1 : 0;
    most = std::max(most, ready);
  }
  return std::max<std::size_t>(1, most);
}

/// By position: the last one of the tail that it is of, -1: of none.
std::vector<int> tails_of(const PlanGraph& graph) {
  std::vector<int> tails(graph.order.size(), -1);
  for (int end = 0; end < static_cast<int>(tails.size()); ++end) {
    if (!graph.readers[end].empty()) continue;
    std::vector<int> chain = {end};
    while (graph.inputs[chain.back()].size() == 1 &&
           graph.readers[graph.inputs[chain.back()].front()].size() == 1)
      chain.push_back(graph.inputs[chain.back()].front());
    if (graph.inputs[chain.back()].size() != 1) continue;
    for (const int position : chain) tails[position] = end;
  }
  return tails;
}

}  // namespace

Cuts::Cuts(const PlanGraph& graph, int most) : words_((graph.order.size() + 63) / 64) {
  constexpr auto kAnyWidth = std::numeric_limits<std::size_t>::max();
  complete_ = enumerate(graph, most, kAnyWidth);
  if (!complete_) {
    tails_ = tails_of(graph);
    const bool enough = enumerate(graph, most, kAnyWidth);
    tails_.clear();
    if (!enough) keep_some(graph, most);
  }
  for (int cut = 0; cut < size(); ++cut) borders_.push_back(crossing(graph, cut));
}

/// Of each size those that least crosses.
void Cuts::keep_some(const PlanGraph& graph, int most) {
  // Each cut that is kept is looked at with every layer that may run next.
  const std::size_t levels = graph.order.size() + 1;
  const std::size_t looks = kMostLooks / levels / most_ready(graph);
  const std::size_t widest = std::min(static_cast<std::size_t>(most) / levels, looks);
  widest > 1 ? void(enumerate(graph, std::numeric_limits<int>::max(), widest))
             : keep_prefixes(graph);
}

/// Of the order alone.
void Cuts::keep_prefixes(const PlanGraph& graph) {
  forget_from(0);
  prefixes_.clear();
  Set prefix(words_, 0);
  insert(prefix, {});
  prefixes_.push_back(0);
  for (int p = 0; p < static_cast<int>(graph.order.size()); ++p) {
    prefix[p / 64] |= Word{1} << p % 64;
    insert(prefix, {p, p});
    prefixes_.push_back(p + 1);
  }
}

/// Level by level: all cuts of n layers before those of n + 1. Gives up, and returns false, once
/// there are more than `most`.
bool Cuts::enumerate(const PlanGraph& graph, int most, std::size_t widest) {
  forget_from(0);
  insert(Set(words_, 0), {});
  Ready ready(1);
  for (std::size_t p = 0; p < graph.order.size(); ++p) {
    if (graph.inputs[p].empty()) ready[0].push_back(static_cast<int>(p));
  }
  Set prefix(words_, 0);
  prefixes_.assign(1, 0);
  int begin = 0;
  for (std::size_t n = 0; n < graph.order.size(); ++n) {
    const int end = size();
    if (!add_level(ready, begin, most)) return false;
    prefix[n / 64] |= Word{1} << n % 64;
    trim_level(graph, end, prefix, widest);
    prefixes_.push_back(find(prefix));
    ready = ready_of_level(graph, ready, begin, end);
    begin = end;
  }
  return true;
}

/// Adds the cuts that have one layer more than those from `begin` on; false once there are more
/// than `most` in all.
bool Cuts::add_level(const Ready& ready, int begin, int most) {
  for (std::size_t i = 0; i < ready.size(); ++i) {
    const int cut = begin + static_cast<int>(i);
    for (const int position : ready[i]) {
      if (!may_add(cut, position)) continue;
      const Set larger = larger_set(cut, position);
      if (find(larger) < 0) insert(larger, {cut, position});
      if (size() > most) return false;
    }
  }
  return true;
}

/// Tails that stay whole are begun from the order's own cut alone, and ended before anything else.
bool Cuts::may_add(int cut, int position) const {
  if (tails_.empty()) return true;
  const std::size_t next = prefixes_.size() - 1;  // what the order has next at this size
  const bool is_prefix = cut == prefixes_.back();
  if (is_prefix && static_cast<std::size_t>(position) == next) return true;
  const bool within_tail =
      is_prefix && next > 0 && tails_[next] >= 0 && tails_[next] == tails_[next - 1];
  return tails_[static_cast<std::size_t>(position)] < 0 && !within_tail;
}

/// Of the cuts from `begin` on only the prefix and those that least crosses stay.
void Cuts::trim_level(const PlanGraph& graph, int begin, const Set& prefix, std::size_t widest) {
  const auto level = static_cast<std::size_t>(size() - begin);
  if (level <= widest) return;
  const int own = find(prefix);
  std::vector<std::pair<double, int>> order;
  for (int cut = begin; cut < size(); ++cut) {
    order.emplace_back(cut == own ? -1 : crossing(graph, cut).forward_bytes, cut);
  }
  std::sort(order.begin(), order.end());
  order.resize(widest);
  std::vector<std::pair<Set, Step>> kept;
  for (const auto& [bytes, cut] : order) {
    kept.emplace_back(Set(set(cut).begin(), set(cut).end()), steps_[static_cast<std::size_t>(cut)]);
  }
  forget_from(begin);
  for (const auto& [cut, step] : kept) insert(cut, step);
}

/// What may run after each cut from `begin` on: what could after its parent, and what was waiting
/// for the layer that the parent lacks.
Cuts::Ready Cuts::ready_of_level(const PlanGraph& graph, const Ready& before, int before_begin,
                                 int begin) const {
  Ready result;
  for (int cut = begin; cut < size(); ++cut) {
    auto& ready = result.emplace_back(before[static_cast<std::size_t>(parent(cut) - before_begin)]);
    std::erase(ready, added(cut));
    for (const int reader : graph.readers[added(cut)]) {
      if (all_of_them(graph.inputs[reader], set(cut))) ready.push_back(reader);
    }
    std::sort(ready.begin(), ready.end());
  }
  return result;
}

Cuts::Set Cuts::larger_set(int cut, int position) const {
  Set result(set(cut).begin(), set(cut).end());
  result[position / 64] |= Word{1} << position % 64;
  return result;
}

Border Cuts::crossing(const PlanGraph& graph, int cut) const {
  Border border;
  for (const Crossing& tensor : graph.crossings) {
    if (none_of_them(tensor.inside, set(cut)) || all_of_them(tensor.outside, set(cut))) continue;
    (tensor.backward ? border.backward_bytes : border.forward_bytes) += tensor.bytes;
    ++(tensor.backward ? border.backward_tensors : border.forward_tensors);
  }
  return border;
}

int Cuts::count(int cut) const {
  int result = 0;
  for (const Word word : set(cut)) result += std::popcount(word);
  return result;
}

bool Cuts::within(int first, int last) const {
  for (std::size_t w = 0; w < words_; ++w) {
    if ((set(first)[w] & ~set(last)[w]) != 0) return false;
  }
  return true;
}

int Cuts::with(int first, std::span<const int> positions) const {
  Set larger(set(first).begin(), set(first).end());
  for (const int position : positions) larger[position / 64] |= Word{1} << position % 64;
  return find(larger);
}

int Cuts::find(std::span<const Word> wanted) const {
  const auto [begin, end] = by_hash_.equal_range(hash_of(wanted));
  for (auto i = begin; i != end; ++i) {
    if (std::equal(wanted.begin(), wanted.end(), set(i->second).begin())) return i->second;
  }
  return -1;
}

void Cuts::insert(const Set& cut, Step step) {
  by_hash_.emplace(hash_of(cut), size());
  sets_.insert(sets_.end(), cut.begin(), cut.end());
  steps_.push_back(step);
}

void Cuts::forget_from(int begin) {
  std::erase_if(by_hash_, [&](const auto& entry) { return entry.second >= begin; });
  sets_.resize(static_cast<std::size_t>(begin) * words_);
  steps_.resize(static_cast<std::size_t>(begin));
}

std::int64_t Cuts::bytes() const {
  const std::size_t node = 4 * sizeof(void*);  // of the hash table, with its bucket
  return static_cast<std::int64_t>(sets_.size() * sizeof(Word) +
                                   steps_.size() * (sizeof(Step) + sizeof(Border) + node));
}

}  // namespace millrace
