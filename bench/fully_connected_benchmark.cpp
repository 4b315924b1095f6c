// The passes of fully connected layers, own kernels beside LibTorch's products, at AlexNet's sizes:
// arguments n, in, out. Compare entries of one run:
//   OMP_NUM_THREADS=1 build/bin/fully_connected_benchmark --benchmark_repetitions=5
//     --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true
// flops: of the product; bytes: of W, read once (the update: W and momentum, read and written).

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <benchmark/benchmark.h>
#include <omp.h>

#include <span>

#include "framework/affinity/affinity.hpp"
#include "kernels/fully_connected/fully_connected.hpp"
#include "kernels/optimizer/optimizer.hpp"

namespace {

using millrace::kernels::FullyConnectedSize;
using millrace::kernels::Precision;
using millrace::kernels::WeightGradient;

struct Layer {
  explicit Layer(const benchmark::State& state)
      : size{state.range(0), state.range(1), state.range(2)},
        x(at::randn({size.n, size.in})),
        w(at::randn({size.out, size.in})),
        bias(at::randn({size.out})),
        y(at::randn({size.n, size.out})),
        workspace(at::empty({fully_connected_workspace(size) + WeightGradient::workspace(size)})) {}

  FullyConnectedSize size;
  at::Tensor x, w, bias, y, workspace;
};

millrace::kernels::Matrix rows(const at::Tensor& matrix) {
  return {matrix.data_ptr<float>(), matrix.stride(0)};
}
millrace::kernels::ConstMatrix input(const at::Tensor& matrix) {
  return {matrix.data_ptr<float>(), matrix.stride(0)};
}

void report(benchmark::State& state, const FullyConnectedSize& size, int weight_streams) {
  const auto products = double(size.n) * double(size.in) * double(size.out);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["flops"] = benchmark::Counter(2 * products, rate);
  state.counters["bytes"] =
      benchmark::Counter(4.0 * weight_streams * double(size.in * size.out), rate);
}

void forward_own(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state)
    fully_connected_forward(layer.size, Precision::fp32, input(layer.x), input(layer.w),
                            layer.bias.data_ptr<float>(), false, rows(layer.y),
                            layer.workspace.data_ptr<float>());
  report(state, layer.size, 1);
}

void forward_libtorch(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state) at::addmm_out(layer.y, layer.bias, layer.x, layer.w.t());
  report(state, layer.size, 1);
}

void input_gradient_own(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state)
    fully_connected_input_gradient(layer.size, Precision::fp32, input(layer.y), input(layer.w),
                                   rows(layer.x), layer.workspace.data_ptr<float>());
  report(state, layer.size, 1);
}

void input_gradient_libtorch(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state) at::mm_out(layer.x, layer.y, layer.w);
  report(state, layer.size, 1);
}

constexpr millrace::kernels::SgdFactors kSgd{.learning_rate = 1e-12F, .momentum = 0.9F};

/// Forms the gradient on the team, calling use(tile) for each tile.
template <typename Use>
void form_tiles(Layer& layer, std::span<const millrace::kernels::ConstMatrix> near,
                const Use& use) {
  WeightGradient gradient(layer.size, Precision::fp32, layer.workspace.data_ptr<float>());
  gradient.add(0, layer.size.n, input(layer.x), input(layer.y));
#pragma omp parallel for schedule(static)
  for (std::int64_t block = 0; block < gradient.blocks(); ++block)
    gradient.for_each_tile(block, near, use);
}

void weight_gradient_own(benchmark::State& state) {
  Layer layer(state);
  for (auto _ : state)
    form_tiles(layer, {}, [](const auto& tile) { benchmark::DoNotOptimize(tile.values); });
  report(state, layer.size, 0);
}

/// The gradient formed and applied tile by tile.
void update_own(benchmark::State& state) {
  Layer layer(state);
  const at::Tensor momentum = at::zeros_like(layer.w);
  const millrace::kernels::ConstMatrix near[] = {input(layer.w), input(momentum)};
  for (auto _ : state)
    form_tiles(layer, near, [&](const WeightGradient::Tile& tile) {
      for (std::int64_t r = 0; r < tile.rows; ++r) {
        const std::int64_t at = (tile.o + r) * layer.size.in + tile.i;
        millrace::kernels::sgd_cpu(kSgd, layer.w.data_ptr<float>() + at,
                                   momentum.data_ptr<float>() + at,
                                   tile.values + r * WeightGradient::kTileColumns, tile.columns);
      }
    });
  report(state, layer.size, 4);
}

void weight_gradient_libtorch(benchmark::State& state) {
  Layer layer(state);
  at::Tensor gradient = at::zeros_like(layer.w);
  for (auto _ : state) at::mm_out(gradient, layer.y.t(), layer.x);
  report(state, layer.size, 1);
}

/// The gradient formed as a whole, then applied.
void update_libtorch(benchmark::State& state) {
  Layer layer(state);
  const at::Tensor momentum = at::zeros_like(layer.w);
  at::Tensor gradient = at::zeros_like(layer.w);
  for (auto _ : state) {
    at::mm_out(gradient, layer.y.t(), layer.x);
    millrace::kernels::sgd_cpu(kSgd, layer.w.data_ptr<float>(), momentum.data_ptr<float>(),
                               gradient.data_ptr<float>(), layer.w.numel());
  }
  report(state, layer.size, 7);
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Args({64, 9216, 4096})->Args({64, 4096, 4096})->Args({64, 4096, 1000});
  benchmark->Args({16, 4096, 4096})->Args({1, 4096, 4096})->Args({64, 400, 120});
  benchmark->Unit(benchmark::kMicrosecond)->UseRealTime();
}

BENCHMARK(forward_own)->Apply(sizes);
BENCHMARK(forward_libtorch)->Apply(sizes);
BENCHMARK(input_gradient_own)->Apply(sizes);
BENCHMARK(input_gradient_libtorch)->Apply(sizes);
BENCHMARK(weight_gradient_own)->Apply(sizes);
BENCHMARK(weight_gradient_libtorch)->Apply(sizes);
BENCHMARK(update_own)->Apply(sizes);
BENCHMARK(update_libtorch)->Apply(sizes);

}  // namespace

int main(int argc, char** argv) {
  millrace::limit_blas_threads(1);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
