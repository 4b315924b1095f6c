// Entry "matrix rate": FLOPs per second of the best large matrix product on the machine, one pinned
// product per CPU, all at once. Prints one JSON line.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <barrier>
#include <cstdio>
#include <thread>
#include <vector>

#include "bench/arguments.hpp"
#include "bench/step_times.hpp"
#include "framework/affinity/affinity.hpp"
#include "millrace/topology.hpp"

namespace millrace::bench {
namespace {

constexpr int kSide = 1536;
constexpr double kFlops = 2.0 * kSide * kSide * kSide;

void onednn_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& c) {
  dnnl_sgemm('N', 'N', kSide, kSide, kSide, 1.0f, a.data_ptr<float>(), kSide, b.data_ptr<float>(),
             kSide, 0.0f, c.data_ptr<float>(), kSide);
}

void libtorch_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& c) {
  at::mm_out(c, a, b);
}

using Product = void (*)(const at::Tensor&, const at::Tensor&, at::Tensor&);

/// One worker of a measurement: its own operands, all workers timed over the same span.
double worker_rate(int cpu, Product product, std::barrier<>& together, const Arguments& arguments) {
  bind_this_thread({cpu});
  at::init_num_threads();
  omp_set_num_threads(1);
  const c10::NoGradGuard no_gradients;
  const at::Tensor a = at::randn({kSide, kSide}), b = at::randn({kSide, kSide});
  at::Tensor c = at::empty({kSide, kSide});
  product(a, b, c);
  together.arrive_and_wait();
  const StepTimes times = time_steps([&] { product(a, b, c); }, arguments);
  return kFlops * times.steps / times.seconds;
}

double rate(const std::vector<int>& cpus, Product product, const Arguments& arguments) {
  std::barrier<> together(static_cast<std::ptrdiff_t>(cpus.size()));
  std::vector<double> rates(cpus.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    threads.emplace_back([&, i] { rates[i] = worker_rate(cpus[i], product, together, arguments); });
  }
  for (std::thread& thread : threads) thread.join();
  double sum = 0;
  for (const double own : rates) sum += own;
  return sum;
}

int run(const Arguments& arguments) {
  at::set_num_threads(1);
  limit_blas_threads(1);
  const std::vector<int> all = parse_cpu_list(arguments.text("--cpus"));
  const auto best = [&](const std::vector<int>& cpus) {
    return std::max(rate(cpus, onednn_product, arguments), rate(cpus, libtorch_product, arguments));
  };
  std::printf("{\"one_core_flops_per_second\": %.6g, \"all_cores_flops_per_second\": %.6g}\n",
              best(parse_cpu_list(arguments.text("--first"))), best(all));
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::guarded(millrace::bench::run, argc, argv);
}
