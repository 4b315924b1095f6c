#pragma once
// A memory resource that knows how much it has given out.

#include <algorithm>
#include <cstdint>
#include <memory_resource>

namespace millrace {

/// Not thread-safe.
class CountingMemory : public std::pmr::memory_resource {
 public:
  std::int64_t peak_bytes() const { return peak_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const result = std::pmr::new_delete_resource()->allocate(bytes, alignment);
    now_ += static_cast<std::int64_t>(bytes);
    peak_ = std::max(peak_, now_);
    return result;
  }
  void do_deallocate(void* pointer, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(pointer, bytes, alignment);
    now_ -= static_cast<std::int64_t>(bytes);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::int64_t now_ = 0, peak_ = 0;
};

}  // namespace millrace
