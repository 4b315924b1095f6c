#pragma once
// LibTorch's CPU memory, kept between steps: blocks of 64 KiB and more are cached, so that a steady
// step maps no memory and takes no page faults (15-17 % of an AlexNet step with plain malloc).

#include <cstddef>
#include <cstdint>

namespace millrace {

/// Of the blocks that are cached; smaller ones are malloc's.
struct AllocatorStatistics {
  std::int64_t in_use_bytes = 0;   ///< handed out and not given back
  std::int64_t peak_bytes = 0;     ///< most in use at a time since reset_allocator_peak()
  std::int64_t cached_bytes = 0;   ///< given back and kept
  std::int64_t mapped_blocks = 0;  ///< blocks ever taken from the system
};

inline constexpr std::size_t kSmallestCachedBlock = 64 * 1024;

/// Makes it LibTorch's CPU allocator, process-wide and for good; later calls do nothing. Memory
/// that was allocated before stays valid and is freed as it was. Thread-safe.
///
/// Each thread allocates from an arena of its own (a thread that ends leaves its arena to the next
/// new one); a block freed by another thread goes back to the arena that it came from. Blocks are
/// 64-byte aligned, rounded up by at most an eighth, and in huge pages where the system allows it.
/// Where the system refuses memory, cached blocks are released first; then c10 throws.
void install_caching_allocator();

AllocatorStatistics allocator_statistics();
void reset_allocator_peak();

/// Gives all cached blocks back to the system; returns their bytes. Thread-safe.
std::int64_t trim_allocator();

/// The size that a request of `bytes` >= kSmallestCachedBlock is rounded up to.
std::size_t cached_block_size(std::size_t bytes);

}  // namespace millrace
