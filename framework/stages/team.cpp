#include "framework/stages/team.hpp"

#include <ATen/ops/from_blob.h>

#include <utility>

#include "framework/layers/caching_allocator.hpp"

namespace millrace {
namespace {

at::Tensor matrix_for_all(std::int64_t rows, std::int64_t columns) {
  const auto floats = static_cast<std::size_t>(rows * columns);
  std::shared_ptr<void> block = block_for_all_threads(floats * sizeof(float));
  void* const data = block.get();
  return at::from_blob(
      data, {rows, columns}, [block = std::move(block)](void*) {}, at::kFloat);
}

}  // namespace

at::Tensor SharedBuffers::get(std::int64_t number, std::int64_t rows, std::int64_t columns) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[number];
  if (!entry.tensor.defined()) entry.tensor = matrix_for_all(rows, columns);
  const at::Tensor tensor = entry.tensor;
  if (++entry.taken == workers_) entries_.erase(number);
  return tensor;
}

void SharedBuffers::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

std::vector<std::vector<double>> SharedValues::gather(int worker, std::vector<double> own,
                                                      Barrier& barrier) {
  values_[static_cast<std::size_t>(worker)] = std::move(own);
  barrier.arrive_and_wait();
  std::vector<std::vector<double>> all = values_;
  barrier.arrive_and_wait();  // before anybody brings the next ones
  return all;
}

namespace {

class TeamReplicas final : public Replicas {
 public:
  TeamReplicas(Team& team, int worker) : team_(team), worker_(worker) {}

  std::vector<std::vector<double>> gather(std::vector<double> own) override {
    return team_.values.gather(worker_, std::move(own), team_.barrier);
  }
  bool keeps_records() const override { return worker_ == 0; }

 private:
  Team& team_;
  int worker_;
};

}  // namespace

Team::Team(int workers) : barrier(workers), buffers(workers), values(workers) {
  for (int worker = 0; worker < workers; ++worker)
    replicas.push_back(workers > 1 ? std::make_unique<TeamReplicas>(*this, worker) : nullptr);
}

}  // namespace millrace
