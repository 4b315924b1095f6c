#pragma once
// Large blocks of memory out of reserved address space: the lowest free range that fits is cut, and
// what is freed joins its neighbours, so that blocks of all sizes share the memory.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace millrace {

/// Ranges of addresses that do not touch each other: one inserted beside another joins it.
class AddressRanges {
 public:
  struct Range {
    std::uintptr_t begin = 0, end = 0;
    std::size_t size() const { return end - begin; }
  };

  void insert(Range range);
  /// Of the one that begins there, which it returns.
  Range erase(std::uintptr_t begin);
  /// The lowest of at least `size` bytes; Range{} where there is none.
  Range first_of(std::size_t size) const;
  /// The one that ends at `end`; Range{} where there is none.
  Range ending_at(std::uintptr_t end) const;
  /// By address.
  std::vector<Range> all() const;
  std::size_t bytes() const { return bytes_; }

 private:
  std::map<std::uintptr_t, std::uintptr_t> end_of_;  // by begin
  std::size_t bytes_ = 0;
};

/// Thread-safe. Its address space stays reserved as long as it lives and longer; memory comes in
/// huge pages where the system has them, and goes back with trim().
class Heap {
 public:
  /// Addresses that belong to the heap.
  using Range = AddressRanges::Range;

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

  std::size_t free_bytes() const;

 private:
  Range room_for(std::size_t size) const;
  void reserve(std::size_t size);
  void grow(Range growth);
  void* cut(Range range, std::size_t size);

  const Reserved on_reserved_;
  mutable std::mutex mutex_;
  AddressRanges free_;                                    // with memory, guarded by mutex_
  AddressRanges reserved_;                                // without, guarded by mutex_
  std::unordered_map<std::uintptr_t, std::size_t> used_;  // size by address, guarded by mutex_
};

}  // namespace millrace
