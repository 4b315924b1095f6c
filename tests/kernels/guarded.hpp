#pragma once
// Buffers between pages that may not be touched: what reads or writes one element outside ends the
// test program.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace millrace::kernels::testing {

enum class Edge { begin, end };  ///< which one lies next to a guarded page

/// `size` values, uninitialised (0). Not copyable.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t size, Edge edge = Edge::end) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = size * sizeof(T);
    const std::size_t inside = (bytes + page - 1) / page * page;
    mapped_ = inside + 2 * page;
    void* memory =
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    start_ = static_cast<std::byte*>(memory);
    mprotect(start_, page, PROT_NONE);
    mprotect(start_ + page + inside, page, PROT_NONE);
    std::byte* first = start_ + page + (edge == Edge::end ? inside - bytes : 0);
    data_ = reinterpret_cast<T*>(first);
  }
  ~Guarded() { munmap(start_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }

 private:
  std::byte* start_ = nullptr;
  T* data_ = nullptr;
  std::size_t size_ = 0, mapped_ = 0;
};

}  // namespace millrace::kernels::testing
