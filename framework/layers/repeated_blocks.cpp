#include "framework/layers/repeated_blocks.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace millrace {
namespace {

/// Of a round: to lay them out takes the square of their number.
constexpr std::size_t kMostBlocks = 4000;

struct PlacedBlock {
  AddressRange at;
  BlockLife life;
};

/// The lowest address from `begin` on that is free all the block's life, among `placed` by address.
std::uintptr_t lowest_place(const std::vector<PlacedBlock>& placed, const BlockLife& block,
                            std::uintptr_t begin) {
  for (const PlacedBlock& other : placed) {
    if (other.at.begin >= begin + block.size) break;
    if (other.life.overlaps(block)) begin = std::max(begin, other.at.end);
  }
  return begin;
}

void insert_by_address(std::vector<PlacedBlock>& placed, const PlacedBlock& block) {
  const auto behind = [](const PlacedBlock& a, const PlacedBlock& b) {
    return a.at.begin < b.at.begin;
  };
  placed.insert(std::upper_bound(placed.begin(), placed.end(), block, behind), block);
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
  std::vector<PlacedBlock> placed;
  for (const AddressRange& range : occupied) insert_by_address(placed, {range, {range.size()}});
  std::vector<std::uintptr_t> addresses(blocks.size());
  for (const std::size_t i : largest_first(blocks)) {
    addresses[i] = lowest_place(placed, blocks[i], begin);
    insert_by_address(placed, {{addresses[i], addresses[i] + blocks[i].size}, blocks[i]});
  }
  return addresses;
}

bool RepeatedBlocks::begin_round(const std::vector<AddressRange>& occupied) {
  std::vector<std::size_t> sizes;
  for (const BlockLife& block : blocks_) sizes.push_back(block.size);
  const bool settled = sizes.size() <= kMostBlocks && (places_.empty() || sizes == before_);
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
  if (!open_ || blocks_.size() > kMostBlocks) return;
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
