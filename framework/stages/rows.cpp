#include "framework/stages/rows.hpp"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "millrace/errors.hpp"
#include "millrace/plan.hpp"

namespace millrace {
namespace {

struct Part {
  std::int64_t first = 0;
  std::vector<at::Tensor> values;
};

}  // namespace

WorkerRows rows_of(const std::vector<std::int64_t>& shares, int worker, std::int64_t micro_batch,
                   std::int64_t micro_batch_index, std::int64_t batch) {
  const std::int64_t first = micro_batch_index * micro_batch;
  const std::int64_t samples = std::min(micro_batch, batch - first);
  const std::vector<std::int64_t> counts = shares_of(shares, samples);
  const auto own = counts.begin() + worker;
  return {micro_batch_index, first, samples, std::accumulate(counts.begin(), own, std::int64_t{0}),
          *own};
}

std::int64_t micro_batches_of(std::int64_t batch, std::int64_t micro_batch) {
  return (batch + micro_batch - 1) / micro_batch;
}

Payload to_payload(std::int64_t first, std::vector<at::Tensor> values) {
  return std::make_shared<Part>(Part{first, std::move(values)});
}

at::Tensor gather_rows(const std::vector<Payload>& parts, std::size_t value, std::int64_t first,
                       std::int64_t count) {
  if (count == 0) return {};
  std::vector<at::Tensor> found;
  std::int64_t rows = 0;
  for (const Payload& payload : parts) {
    const Part& part = *static_cast<const Part*>(payload.get());
    const at::Tensor& own = part.values[value];
    if (!own.defined()) continue;
    const std::int64_t begin = std::max(first, part.first);
    const std::int64_t end = std::min(first + count, part.first + own.size(0));
    if (begin >= end) continue;
    found.push_back(own.narrow(0, begin - part.first, end - begin));
    rows += end - begin;
  }
  MILLRACE_CHECK(rows == count, "stages", "the neighbour stage handed over other rows");
  return found.size() == 1 ? found.front() : at::cat(found);
}

}  // namespace millrace
