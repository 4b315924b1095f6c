#include "framework/layers/heap.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "millrace/errors.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
constexpr std::size_t kGap = 64;  // behind each block, for nobody
#else
constexpr std::size_t kGap = 0;
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace millrace {
namespace {

constexpr std::size_t kHugePage = 2 * 1024 * 1024;
constexpr std::size_t kLeastReserved = 64 * 1024 * 1024;
constexpr std::size_t kMostReserved = std::size_t{8} << 30;

std::uintptr_t round_up(std::uintptr_t value, std::size_t to) { return (value + to - 1) / to * to; }
void* pointer(std::uintptr_t address) { return reinterpret_cast<void*>(address); }
std::uintptr_t address(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

/// As much as a heap will hardly need, so that it stays in one piece, but a small part of the
/// addresses that any 64-bit machine has; little where the process may have little.
std::size_t usual_reservation() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) return kLeastReserved;
  const auto memory = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return std::min(memory, kMostReserved);
}

/// Address space without memory, aligned to a huge page; empty where the system refuses.
AddressRange map_reserved(std::size_t size) {
  void* mapped = mmap(nullptr, size + kHugePage, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return {};
  const std::uintptr_t begin = round_up(address(mapped), kHugePage);
  madvise(pointer(begin), size, MADV_HUGEPAGE);  // advice: failing costs speed only
  return {begin, begin + size};
}

bool give_memory(AddressRange range) {
  if (mprotect(pointer(range.begin), range.size(), PROT_READ | PROT_WRITE) != 0) return false;
  ASAN_POISON_MEMORY_REGION(pointer(range.begin), range.size());
  return true;
}

/// False where the system keeps it.
bool take_memory(AddressRange range) {
  ASAN_UNPOISON_MEMORY_REGION(pointer(range.begin), range.size());
  if (mmap(pointer(range.begin), range.size(), PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
    return false;
  madvise(pointer(range.begin), range.size(), MADV_HUGEPAGE);
  return true;
}

}  // namespace

Heap::Taken Heap::take(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  Taken taken;
  taken.size = round_up(bytes + kGap, kPage);
  if (taken.size < bytes) return {};  // beyond any address
  const std::uintptr_t place = repeated_.next_place(taken.size);
  AddressRange range = place != 0 ? room_at({place, place + taken.size}, taken) : AddressRange{};
  const bool placed = range.size() > 0;
  if (!placed) range = free_.first_of(taken.size);
  if (range.size() == 0) {
    AddressRange growth = room_for(taken.size);
    if (growth.size() == 0) {
      reserve(taken.size);
      growth = room_for(taken.size);
    }
    if (growth.size() == 0 || !grow(growth, taken)) return taken;
    range = free_.first_of(taken.size);
  }
  const std::uintptr_t begin = placed ? place : range.begin;
  cut(range, {begin, begin + taken.size});
  repeated_.taken(begin, taken.size);
  taken.block = pointer(begin);
  ASAN_UNPOISON_MEMORY_REGION(taken.block, bytes);
  return taken;
}

/// The reserved addresses that need memory for a block of `size`: the first such, behind a free
/// range where that is a part of the block.
AddressRange Heap::room_for(std::size_t size) const {
  for (const AddressRange& hole : reserved_.all()) {
    const AddressRange before = free_.ending_at(hole.begin);
    const std::uintptr_t begin = before.size() > 0 ? before.begin : hole.begin;
    if (hole.end - begin >= size)
      return {hole.begin, std::min(round_up(begin + size, kHugePage), hole.end)};
  }
  return {};
}

/// The free range around addresses, which get memory where they have none; empty where they are not
/// all free, or the system refuses.
AddressRange Heap::room_at(AddressRange block, Taken& taken) {
  std::vector<AddressRange> holes;
  for (std::uintptr_t at = block.begin; at < block.end;) {
    AddressRange range = free_.around({at, at + 1});
    if (range.size() == 0) holes.push_back(range = reserved_.around({at, at + 1}));
    if (range.size() == 0) return {};
    at = range.end;
  }
  const AddressRange pages{block.begin / kHugePage * kHugePage, round_up(block.end, kHugePage)};
  for (const AddressRange& hole : holes)
    if (!grow({std::max(hole.begin, pages.begin), std::min(hole.end, pages.end)}, taken)) return {};
  return free_.around(block);
}

/// Gives memory to a part of a reserved range; false where the system refuses.
bool Heap::grow(AddressRange growth, Taken& taken) {
  if (!give_memory(growth)) return false;
  const AddressRange hole = reserved_.erase(reserved_.around(growth).begin);
  reserved_.insert({hole.begin, growth.begin});
  reserved_.insert({growth.end, hole.end});
  free_.insert(growth);
  taken.from_system += growth.size();
  return true;
}

void Heap::reserve(std::size_t size) {
  const std::size_t least = round_up(size, kHugePage);
  if (least < size) return;
  AddressRange range = map_reserved(std::max(usual_reservation() / kHugePage * kHugePage, least));
  if (range.size() == 0) range = map_reserved(least);
  if (range.size() == 0) return;
  if (on_reserved_) on_reserved_(*this, range);
  owned_.insert(range);
  reserved_.insert(range);
}

void Heap::cut(AddressRange free, AddressRange block) {
  free_.erase(free.begin);
  free_.insert({free.begin, block.begin});
  free_.insert({block.end, free.end});
  used_[block.begin] = block.size();
}

std::size_t Heap::give(void* block) {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(address(block));
  MILLRACE_CHECK(found != used_.end(), "memory", "a block that is freed was taken");
  const std::size_t size = found->second;
  used_.erase(found);
  repeated_.given(address(block));
  ASAN_POISON_MEMORY_REGION(block, size);
  free_.insert({address(block), address(block) + size});
  return size;
}

std::size_t Heap::trim() {
  const std::lock_guard lock(mutex_);
  return release_from(0);
}

/// Gives the free memory behind `address` back; returns its bytes.
std::size_t Heap::release_from(std::uintptr_t address) {
  std::size_t released = 0;
  for (const AddressRange& range : free_.all()) {
    const AddressRange behind{std::max(range.begin, address), range.end};
    if (behind.end <= behind.begin || !take_memory(behind)) continue;
    free_.erase(range.begin);
    free_.insert({range.begin, behind.begin});
    reserved_.insert(behind);
    released += behind.size();
  }
  return released;
}

void Heap::begin_round() {
  const std::lock_guard lock(mutex_);
  std::vector<AddressRange> not_free;
  for (const auto& [begin, size] : used_) not_free.push_back({begin, begin + size});
  std::uintptr_t before = 0;
  for (const AddressRange& range : owned_.all()) {  // others' addresses between ours
    not_free.push_back({before, range.begin});
    before = range.end;
  }
  if (repeated_.begin_round(not_free)) release_from(round_up(repeated_.end(), kHugePage));
}

void Heap::end_round() {
  const std::lock_guard lock(mutex_);
  repeated_.end_round();
}

std::size_t Heap::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return free_.bytes();
}

}  // namespace millrace
