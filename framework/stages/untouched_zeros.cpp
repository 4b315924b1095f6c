#include "framework/stages/untouched_zeros.hpp"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <sys/mman.h>

#include <cstddef>

namespace millrace {
namespace {

constexpr std::size_t kLarge = 2 * 1024 * 1024;  // a huge page

}  // namespace

at::Tensor untouched_zeros_like(const at::Tensor& like) {
  const auto bytes = static_cast<std::size_t>(like.numel()) * sizeof(float);
  if (bytes < kLarge) return at::zeros(like.sizes(), at::kFloat);
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return at::zeros(like.sizes(), at::kFloat);
  madvise(pages, bytes, MADV_HUGEPAGE);  // advice: failing costs speed only
  return at::from_blob(
      pages, like.sizes(), [bytes](void* data) { munmap(data, bytes); }, at::kFloat);
}

}  // namespace millrace
