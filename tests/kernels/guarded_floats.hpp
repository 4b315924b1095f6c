#pragma once
// Memory that ends, or begins, at a page that nobody may touch: what a kernel reads or writes
// outside its buffers kills the test.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace millrace::test {

enum class Guard { before, after };

class GuardedFloats {
 public:
  GuardedFloats(std::int64_t count, Guard guard)
      : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
        used_((static_cast<std::size_t>(count) * sizeof(float) + page_ - 1) / page_ * page_),
        begin_(static_cast<std::byte*>(
            mmap(nullptr, used_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    EXPECT_EQ(mprotect(begin_ + page_, used_, PROT_READ | PROT_WRITE), 0);
    std::byte* const first = guard == Guard::before
                                 ? begin_ + page_
                                 : begin_ + page_ + used_ - count * std::int64_t(sizeof(float));
    data_ = reinterpret_cast<float*>(first);
  }
  GuardedFloats(const GuardedFloats&) = delete;
  GuardedFloats& operator=(const GuardedFloats&) = delete;
  ~GuardedFloats() { munmap(begin_, used_ + 2 * page_); }

  float* data() const { return data_; }

 private:
  std::size_t page_, used_;
  std::byte* begin_;
  float* data_ = nullptr;
};

}  // namespace millrace::test
