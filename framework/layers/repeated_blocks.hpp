#pragma once
// Where the blocks lie that a thread takes and gives back in every round (a training step): known
// from an earlier round, so that they share about the least memory that there is for them.

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "framework/layers/address_ranges.hpp"

namespace millrace {

/// A block's round, counted in takes and gives of its thread.
struct BlockLife {
  std::size_t size = 0;
  std::int64_t taken = 0, given = INT64_MAX;

  bool overlaps(const BlockLife& other) const { return taken < other.given && other.taken < given; }
};

/// Addresses from `begin` on at which no two blocks overlap that are in use at a time, nor any with
/// `occupied`: the largest first, each at the lowest that is free all its life ("greedy by size",
/// Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
std::vector<std::uintptr_t> lay_out(const std::vector<BlockLife>& blocks, std::uintptr_t begin,
                                    const std::vector<AddressRange>& occupied);

/// Not thread-safe.
class RepeatedBlocks {
 public:
  /// Ends the round before, all of whose blocks that are still in use are in `occupied`, and begins
  /// the next one. True where there are new places, none behind the addresses that the round took:
  /// after the first round, and after one that is like its predecessor and unlike the one whose
  /// places are known. A round of very many blocks gets none.
  bool begin_round(const std::vector<AddressRange>& occupied);
  void end_round() { open_ = false; }

  /// Of the block that is taken next; 0: it may lie anywhere.
  std::uintptr_t next_place(std::size_t size) const;
  /// Behind all places.
  std::uintptr_t end() const { return end_; }

  void taken(std::uintptr_t block, std::size_t size);
  void given(std::uintptr_t block);

 private:
  struct Place {
    std::size_t size = 0;
    std::uintptr_t begin = 0;
  };
  bool is_known(const std::vector<std::size_t>& sizes) const;
  bool lay_out_round(const std::vector<AddressRange>& occupied);

  bool open_ = false;
  std::int64_t clock_ = 0;
  AddressRange round_;                                    ///< all of its blocks
  std::vector<BlockLife> blocks_;                         ///< of the round, as they were taken
  std::unordered_map<std::uintptr_t, std::size_t> used_;  ///< of blocks_, by address
  std::vector<std::size_t> before_;                       ///< sizes of the round before
  std::vector<Place> places_;
  std::uintptr_t end_ = 0;
};

}  // namespace millrace
