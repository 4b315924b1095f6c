#include "framework/layers/repeated_blocks.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace millrace {
namespace {

/// The lowest address from `begin` on with `size` bytes outside of all ranges.
std::uintptr_t lowest_outside(std::vector<AddressRange> ranges, std::uintptr_t begin,
                              std::size_t size) {
  std::sort(ranges.begin(), ranges.end(),
            [](const AddressRange& a, const AddressRange& b) { return a.begin < b.begin; });
  for (const AddressRange& range : ranges) {
    if (range.end <= begin) continue;
    if (range.begin >= begin + size) break;
    begin = range.end;
  }
  return begin;
}

std::vector<std::size_t> largest_first(const std::vector<BlockLife>& blocks) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return blocks[a].size > blocks[b].size; });
  return order;
}

}  // namespace

std::vector<std::uintptr_t> lay_out(const std::vector<BlockLife>& blocks, std::uintptr_t begin,
                                    const std::vector<AddressRange>& occupied) {
  std::vector<std::uintptr_t> addresses(blocks.size());
  const std::vector<std::size_t> order = largest_first(blocks);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const BlockLife& block = blocks[order[i]];
    std::vector<AddressRange> taken = occupied;
    for (std::size_t j = 0; j < i; ++j)
      if (blocks[order[j]].overlaps(block))
        taken.push_back({addresses[order[j]], addresses[order[j]] + blocks[order[j]].size});
    addresses[order[i]] = lowest_outside(std::move(taken), begin, block.size);
  }
  return addresses;
}

bool RepeatedBlocks::begin_round(const std::vector<AddressRange>& occupied) {
  std::vector<std::size_t> sizes;
  for (const BlockLife& block : blocks_) sizes.push_back(block.size);
  const bool settled = places_.empty() || sizes == before_;
  const bool better = !sizes.empty() && settled && !is_known(sizes) && lay_out_round(occupied);
  before_ = std::move(sizes);
  blocks_.clear();
  used_.clear();
  round_ = {};
  clock_ = 0;
  open_ = true;
  return better;
}

bool RepeatedBlocks::lay_out_round(const std::vector<AddressRange>& occupied) {
  const std::vector<std::uintptr_t> addresses = lay_out(blocks_, round_.begin, occupied);
  places_.clear();
  end_ = round_.begin;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    places_.push_back({blocks_[i].size, addresses[i]});
    end_ = std::max(end_, addresses[i] + blocks_[i].size);
  }
  if (end_ <= round_.end) return true;
  for (Place& place : places_) place.begin = 0;  // known, and no better than where they came to lie
  return false;
}

bool RepeatedBlocks::is_known(const std::vector<std::size_t>& sizes) const {
  return std::equal(sizes.begin(), sizes.end(), places_.begin(), places_.end(),
                    [](std::size_t size, const Place& place) { return size == place.size; });
}

std::uintptr_t RepeatedBlocks::next_place(std::size_t size) const {
  if (!open_ || blocks_.size() >= places_.size()) return 0;
  const Place& place = places_[blocks_.size()];
  return place.size == size ? place.begin : 0;
}

void RepeatedBlocks::taken(std::uintptr_t block, std::size_t size) {
  if (!open_) return;
  round_ = blocks_.empty()
               ? AddressRange{block, block + size}
               : AddressRange{std::min(round_.begin, block), std::max(round_.end, block + size)};
  used_[block] = blocks_.size();
  blocks_.push_back({size, clock_++});
}

void RepeatedBlocks::given(std::uintptr_t block) {
  const auto found = used_.find(block);
  if (found == used_.end()) return;
  blocks_[found->second].given = clock_++;
  used_.erase(found);
}

}  // namespace millrace
