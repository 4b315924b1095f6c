#include "framework/layers/address_ranges.hpp"

#include <iterator>

namespace millrace {

void AddressRanges::insert(AddressRange range) {
  if (range.size() == 0) return;
  if (const AddressRange before = ending_at(range.begin); before.size() > 0)
    range.begin = erase(before.begin).begin;
  if (end_of_.contains(range.end)) range.end = erase(range.end).end;
  end_of_[range.begin] = range.end;
  bytes_ += range.size();
}

AddressRange AddressRanges::erase(std::uintptr_t begin) {
  const auto found = end_of_.find(begin);
  const AddressRange range{begin, found->second};
  end_of_.erase(found);
  bytes_ -= range.size();
  return range;
}

AddressRange AddressRanges::first_of(std::size_t size) const {
  for (const auto& [begin, end] : end_of_)
    if (end - begin >= size) return {begin, end};
  return {};
}

AddressRange AddressRanges::around(AddressRange part) const {
  const auto after = end_of_.upper_bound(part.begin);
  if (after == end_of_.begin()) return {};
  const auto at = std::prev(after);
  return at->second >= part.end ? AddressRange{at->first, at->second} : AddressRange{};
}

AddressRange AddressRanges::ending_at(std::uintptr_t end) const {
  const auto after = end_of_.lower_bound(end);
  if (after == end_of_.begin()) return {};
  const auto before = std::prev(after);
  return before->second == end ? AddressRange{before->first, end} : AddressRange{};
}

std::vector<AddressRange> AddressRanges::all() const {
  std::vector<AddressRange> ranges;
  for (const auto& [begin, end] : end_of_) ranges.push_back({begin, end});
  return ranges;
}

}  // namespace millrace
