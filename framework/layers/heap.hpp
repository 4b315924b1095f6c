#pragma once
// Large blocks of memory out of reserved address space: the lowest free range that fits is cut, and
// what is freed joins its neighbours, so that blocks of all sizes share the memory.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "framework/layers/address_ranges.hpp"
#include "framework/layers/repeated_blocks.hpp"

namespace millrace {

/// Thread-safe. Its address space stays reserved as long as it lives and longer; memory comes in
/// huge pages where the system has them, and goes back with trim().
class Heap {
 public:
  /// Addresses that belong to the heap.
  using Range = AddressRange;

  struct Taken {
    void* block = nullptr;        ///< aligned to kPage; null where the system refuses the memory
    std::size_t size = 0;         ///< what give() will answer: a multiple of kPage
    std::size_t from_system = 0;  ///< bytes that the heap has grown by
  };

  /// No system's pages are larger.
  static constexpr std::size_t kPage = 64 * 1024;

  /// Called with address space that this heap has grown by, before a block of it is handed out;
  /// calls nothing of the heap.
  using Reserved = std::function<void(Heap&, Range)>;
  explicit Heap(Reserved reserved = {}) : on_reserved_(std::move(reserved)) {}

  /// At least `bytes` > 0. Under the address sanitizer all memory but these bytes is poisoned.
  Taken take(std::size_t bytes);

  /// Frees a block of take(); returns its size.
  std::size_t give(void* block);

  /// Gives the memory of all free ranges back to the system; returns its bytes.
  std::size_t trim();

  /// A step begins that takes and gives blocks as the one before did. Once that is known, each lies
  /// where the step needs the least memory, and what is free behind them goes back to the system.
  void begin_round();
  /// What is taken now, and until a round begins, repeats nothing.
  void end_round();

  std::size_t free_bytes() const;

 private:
  Range room_for(std::size_t size) const;
  void reserve(std::size_t size);
  Range room_at(Range block, Taken& taken);
  bool grow(Range growth, Taken& taken);
  void cut(Range free, Range block);
  std::size_t release_from(std::uintptr_t address);

  const Reserved on_reserved_;
  mutable std::mutex mutex_;
  AddressRanges free_;                                    // with memory, guarded by mutex_
  AddressRanges reserved_;                                // without, guarded by mutex_
  std::unordered_map<std::uintptr_t, std::size_t> used_;  // size by address, guarded by mutex_
  RepeatedBlocks repeated_;                               // guarded by mutex_
};

}  // namespace millrace
