#include "framework/layers/caching_allocator.hpp"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <malloc.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "framework/layers/heap.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

std::atomic<std::int64_t> g_in_use{0}, g_peak{0}, g_mapped{0};

/// Which heap an address belongs to: tells our memory from malloc's when it is freed.
class ReservedAddresses {
 public:
  void insert(AddressRange range, Heap* heap) {
    const std::unique_lock lock(mutex_);
    parts_.push_back({range, heap});
  }
  /// Null where the address is not ours.
  Heap* owner(const void* block) const {
    const auto at = reinterpret_cast<std::uintptr_t>(block);
    const std::shared_lock lock(mutex_);
    for (const Part& part : parts_)
      if (at >= part.range.begin && at < part.range.end) return part.heap;
    return nullptr;
  }

 private:
  struct Part {
    AddressRange range;
    Heap* heap;
  };
  mutable std::shared_mutex mutex_;
  std::vector<Part> parts_;  // a few: each is large
};

// Never destroyed: tensors in static storage are freed after every destructor of ours.
ReservedAddresses& reserved_addresses() {
  static auto* addresses = new ReservedAddresses;
  return *addresses;
}

/// The heaps that exist: one per thread alive; those of ended threads, which have given their free
/// memory back, wait for the next one.
class Heaps {
 public:
  Heap* borrow() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) {
      Heap* made = all_.emplace_back(make_heap()).get();
      if (in_round_) made->begin_round();
      return made;
    }
    Heap* heap = idle_.back();
    idle_.pop_back();
    return heap;
  }
  void give_back(Heap* heap) {
    heap->trim();
    const std::lock_guard lock(mutex_);
    idle_.push_back(heap);
  }
  void begin_round() {
    const std::lock_guard lock(mutex_);
    in_round_ = true;
    for (const auto& heap : all_) heap->begin_round();
  }
  void end_round() {
    const std::lock_guard lock(mutex_);
    in_round_ = false;
    for (const auto& heap : all_) heap->end_round();
  }
  /// Of `bytes(heap)`, over all.
  template <typename Bytes>
  std::int64_t sum(const Bytes& bytes) {
    const std::lock_guard lock(mutex_);
    std::int64_t total = 0;
    for (const auto& heap : all_) total += static_cast<std::int64_t>(bytes(*heap));
    return total;
  }

 private:
  static std::unique_ptr<Heap> make_heap() {
    return std::make_unique<Heap>(
        [](Heap& heap, AddressRange range) { reserved_addresses().insert(range, &heap); });
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Heap>> all_;
  std::vector<Heap*> idle_;
  bool in_round_ = false;
};

// Never destroyed, for the same reason.
Heaps& heaps() {
  static auto* all = new Heaps;
  return *all;
}

/// The calling thread's heap; threads that are ending share one.
Heap* this_heap() {
  static Heap* of_ending_threads = heaps().borrow();
  thread_local Heap* current = nullptr;  // trivial: readable while the thread's objects go
  struct Borrowed {
    Borrowed() { current = heaps().borrow(); }
    ~Borrowed() {
      heaps().give_back(current);
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

void* allocate_cached(std::size_t bytes, Heap* heap) {
  Heap::Taken taken = heap->take(bytes);
  if (taken.block == nullptr && trim_allocator() > 0) {
    g_mapped += static_cast<std::int64_t>(taken.from_system);
    taken = heap->take(bytes);
  }
  if (taken.block == nullptr) return nullptr;
  g_mapped += static_cast<std::int64_t>(taken.from_system);
  count_in_use(taken.size);
  return taken.block;
}

void deallocate(void* address) {
  Heap* heap = reserved_addresses().owner(address);
  if (heap == nullptr) return c10::free_cpu(address);
  const std::size_t size = heap->give(address);
  g_in_use -= static_cast<std::int64_t>(size);
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
    void* data = bytes >= kSmallestCachedBlock ? allocate_cached(bytes, this_heap()) : nullptr;
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

std::shared_ptr<void> block_for_all_threads(std::size_t bytes) {
  static Heap* heap = heaps().borrow();
  void* block = bytes >= kSmallestCachedBlock ? allocate_cached(bytes, heap) : nullptr;
  if (block == nullptr) block = from_system(bytes);
  return {block, &deallocate};
}

AllocatorStatistics allocator_statistics() {
  return {g_in_use, g_peak, heaps().sum([](const Heap& heap) { return heap.free_bytes(); }),
          g_mapped};
}

void reset_allocator_peak() { g_peak = g_in_use.load(); }

AllocationRound::AllocationRound() { heaps().begin_round(); }

AllocationRound::~AllocationRound() { heaps().end_round(); }

std::int64_t trim_allocator() {
  malloc_trim(0);
  return heaps().sum([](Heap& heap) { return heap.trim(); });
}

}  // namespace millrace
