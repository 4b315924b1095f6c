#include "framework/layers/caching_allocator.hpp"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "millrace/errors.hpp"
#include "millrace/units.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace millrace {
namespace {

constexpr std::size_t kHugePage = 2 * 1024 * 1024;

std::atomic<std::int64_t> g_in_use{0}, g_peak{0}, g_cached{0}, g_mapped{0};

/// Maps `size` bytes, aligned to a huge page where one fits; null where the system refuses.
void* map_block(std::size_t size) {
  const std::size_t slack = size >= kHugePage ? kHugePage : 0;
  void* mapped =
      mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  if (slack == 0) return mapped;
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t aligned = (address + kHugePage - 1) / kHugePage * kHugePage;
  const std::size_t before = aligned - address;
  if (before > 0) munmap(mapped, before);
  if (slack > before) munmap(reinterpret_cast<void*>(aligned + size), slack - before);
  madvise(reinterpret_cast<void*>(aligned), size,
          MADV_HUGEPAGE);  // advice: failing costs speed only
  return reinterpret_cast<void*>(aligned);
}

/// Free blocks by size. Thread-safe.
class Arena {
 public:
  /// A kept block of exactly `size` bytes, or null.
  void* take(std::size_t size) {
    const std::lock_guard lock(mutex_);
    const auto list = free_.find(size);
    if (list == free_.end() || list->second.empty()) return nullptr;
    void* block = list->second.back();
    list->second.pop_back();
    g_cached -= static_cast<std::int64_t>(size);
    return block;
  }

  void give(void* block, std::size_t size) {
    const std::lock_guard lock(mutex_);
    free_[size].push_back(block);
    g_cached += static_cast<std::int64_t>(size);
  }

  /// Calls `release(block, size)` for every kept block and forgets it.
  template <typename Release>
  void drain(const Release& release) {
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : free_) {
      for (void* block : blocks) release(block, size);
      g_cached -= static_cast<std::int64_t>(size * blocks.size());
    }
    free_.clear();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::size_t, std::vector<void*>> free_;
};

struct Block {
  Arena* arena = nullptr;
  std::size_t size = 0;
};

/// Every mapped block, in use or kept: tells our memory from malloc's when it is freed.
class BlockTable {
 public:
  void insert(void* address, Block block) {
    const std::unique_lock lock(mutex_);
    blocks_[address] = block;
  }
  void erase(void* address) {
    const std::unique_lock lock(mutex_);
    blocks_.erase(address);
  }
  /// Block{} where the address is not ours.
  Block find(void* address) const {
    const std::shared_lock lock(mutex_);
    const auto found = blocks_.find(address);
    return found == blocks_.end() ? Block{} : found->second;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<void*, Block> blocks_;
};

/// The arenas that exist: one per thread alive, those of ended threads wait for the next one.
class Arenas {
 public:
  Arena* borrow() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) {
      all_.push_back(std::make_unique<Arena>());
      return all_.back().get();
    }
    Arena* arena = idle_.back();
    idle_.pop_back();
    return arena;
  }
  void give_back(Arena* arena) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(arena);
  }
  template <typename Visit>
  void for_each(const Visit& visit) {
    const std::lock_guard lock(mutex_);
    for (const auto& arena : all_) visit(*arena);
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Arena>> all_;
  std::vector<Arena*> idle_;
};

// Never destroyed: tensors in static storage are freed after every destructor of ours.
BlockTable& table() {
  static auto* blocks = new BlockTable;
  return *blocks;
}
Arenas& arenas() {
  static auto* all = new Arenas;
  return *all;
}

/// The calling thread's arena; threads that are ending share one.
Arena* this_arena() {
  static Arena* of_ending_threads = arenas().borrow();
  thread_local Arena* current = nullptr;  // trivial: readable while the thread's objects go
  struct Borrowed {
    Borrowed() { current = arenas().borrow(); }
    ~Borrowed() {
      arenas().give_back(current);
      current = of_ending_threads;
    }
  };
  if (current == nullptr) {
    thread_local const Borrowed borrowed;
    (void)borrowed;
  }
  return current;
}

void count_in_use(std::size_t size) {
  const std::int64_t now = g_in_use += static_cast<std::int64_t>(size);
  std::int64_t peak = g_peak;
  while (now > peak && !g_peak.compare_exchange_weak(peak, now)) {
  }
}

void* map_for(Arena* arena, std::size_t size) {
  void* block = map_block(size);
  if (block == nullptr && trim_allocator() > 0) block = map_block(size);
  if (block == nullptr) return nullptr;
  ++g_mapped;
  ASAN_POISON_MEMORY_REGION(block, size);
  table().insert(block, {arena, size});
  return block;
}

void* allocate_cached(std::size_t bytes) {
  const std::size_t size = cached_block_size(bytes);
  Arena* arena = this_arena();
  void* block = arena->take(size);
  if (block == nullptr) block = map_for(arena, size);
  if (block == nullptr) return nullptr;
  count_in_use(size);
  ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  return block;
}

void deallocate(void* address) {
  const Block block = table().find(address);
  if (block.arena == nullptr) return c10::free_cpu(address);
  g_in_use -= static_cast<std::int64_t>(block.size);
  ASAN_POISON_MEMORY_REGION(address, block.size);
  block.arena->give(address, block.size);
}

void* from_system(std::size_t bytes) {
  try {
    return c10::alloc_cpu(bytes);
  } catch (const c10::Error&) {
    throw ResourceError("memory", fmt::format("the system refuses {}: lower --batch, or give a "
                                              "--memory budget that fits",
                                              format_bytes(static_cast<double>(bytes))));
  }
}

struct CachingAllocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) const override {
    void* data = bytes >= kSmallestCachedBlock ? allocate_cached(bytes) : nullptr;
    if (data == nullptr) data = from_system(bytes);
    return {data, data, &deallocate, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &deallocate; }
};

}  // namespace

void install_caching_allocator() {
  static const bool installed = [] {
    c10::SetCPUAllocator(new CachingAllocator, /*priority=*/1);
    return true;
  }();
  (void)installed;
}

AllocatorStatistics allocator_statistics() { return {g_in_use, g_peak, g_cached, g_mapped}; }

void reset_allocator_peak() { g_peak = g_in_use.load(); }

std::int64_t trim_allocator() {
  std::int64_t released = 0;
  arenas().for_each([&](Arena& arena) {
    arena.drain([&](void* block, std::size_t size) {
      table().erase(block);
      ASAN_UNPOISON_MEMORY_REGION(block, size);
      munmap(block, size);
      released += static_cast<std::int64_t>(size);
    });
  });
  return released;
}

std::size_t cached_block_size(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(4096, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

}  // namespace millrace
