#pragma once
// Large blocks of memory out of reserved address space: what is freed joins its neighbours, so that
// blocks of all sizes share the memory. A block of a step that is like the last one lies where that
// step showed that it fits (repeated_blocks.hpp), any other in the lowest free range.

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
/// huge pages where the system has them, and goes back with trim() and begin_round().
class Heap {
 public:
  struct Taken {
    void* block = nullptr;        ///< aligned to kPage; null where the system refuses the memory
    std::size_t size = 0;         ///< what give() will answer: a multiple of kPage
    std::size_t from_system = 0;  ///< bytes that the heap has grown by
  };

  /// No system's pages are larger.
  static constexpr std::size_t kPage = 64 * 1024;

  /// Called with address space that this heap has grown by, before a block of it is handed out;
  /// calls nothing of the heap.
  using Reserved = std::function<void(Heap&, AddressRange)>;
  explicit Heap(Reserved reserved = {}) : on_reserved_(std::move(reserved)) {}

  /// At least `bytes` > 0. Under the address sanitizer all memory but these bytes is poisoned.
  Taken take(std::size_t bytes);

  /// Frees a block of take(); returns its size.
  std::size_t give(void* block);

  /// Gives the memory of all free ranges back to the system; returns its bytes.
  std::size_t trim();

  /// A step begins. What it takes in the order of the step before lies where all of that fits into
  /// about the least memory; what is free behind it goes back to the system.
  void begin_round();
  /// What is taken until the next round begins repeats nothing.
  void end_round();

  std::size_t free_bytes() const;

 private:
  AddressRange room_for(std::size_t size) const;
  void reserve(std::size_t size);
  AddressRange room_at(AddressRange block, Taken& taken);
  bool grow(AddressRange growth, Taken& taken);
  void cut(AddressRange free, AddressRange block);
  std::size_t release_from(std::uintptr_t address);

  const Reserved on_reserved_;
  mutable std::mutex mutex_;
  AddressRanges free_;                                    // with memory, guarded by mutex_
  AddressRanges reserved_;                                // without, guarded by mutex_
  AddressRanges owned_;                                   // all reservations, guarded by mutex_
  std::unordered_map<std::uintptr_t, std::size_t> used_;  // size by address, guarded by mutex_
  RepeatedBlocks repeated_;                               // guarded by mutex_
};

}  // namespace millrace
