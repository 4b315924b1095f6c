#pragma once
// LibTorch's CPU memory, kept between steps: blocks of 64 KiB and more are cached, so that a steady
// step maps no memory and takes no page faults (15-17 % of an AlexNet step with plain malloc).

#include <cstddef>
#include <cstdint>
#include <memory>

namespace millrace {

/// Of the blocks that are cached; smaller ones are malloc's.
struct AllocatorStatistics {
  std::int64_t in_use_bytes = 0;  ///< handed out and not given back
  std::int64_t peak_bytes = 0;    ///< most in use at a time since reset_allocator_peak()
  std::int64_t cached_bytes = 0;  ///< taken from the system and not in use
  std::int64_t mapped_bytes = 0;  ///< ever taken from the system
};

inline constexpr std::size_t kSmallestCachedBlock = 64 * 1024;

/// Makes it LibTorch's CPU allocator, process-wide and for good; later calls do nothing. Memory
/// that was allocated before stays valid and is freed as it was. Thread-safe.
///
/// Each thread allocates from a heap of its own (heap.hpp; a thread that ends gives what is free in
/// it back, and leaves it to the next new one); a block freed by another thread goes back to the
/// heap that it came from. Where the system refuses memory, what is cached is released first (its
/// addresses stay reserved); then ResourceError is thrown.
void install_caching_allocator();

/// A block of a heap of its own, for what whichever thread comes first takes and others free: the
/// heaps of the threads then see the same in every step. Throws ResourceError. Thread-safe.
std::shared_ptr<void> block_for_all_threads(std::size_t bytes);

/// A training step while it lives: threads take and free as in the step before, which tells where
/// their blocks fit together best (Heap::begin_round()). It is of all threads, whichever training
/// they work for: steps of two trainings at a time cost memory, no more.
class AllocationRound {
 public:
  AllocationRound();
  ~AllocationRound();
  AllocationRound(const AllocationRound&) = delete;
  AllocationRound& operator=(const AllocationRound&) = delete;
};

AllocatorStatistics allocator_statistics();
void reset_allocator_peak();

/// Gives all that is cached back to the system, and what malloc has free; returns the bytes of the
/// former. Thread-safe.
std::int64_t trim_allocator();

}  // namespace millrace
