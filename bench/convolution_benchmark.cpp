// The passes of Winograd's convolution at AlexNet's sizes; argument: samples. Compare entries of
// one run, huge pages as the framework's own allocator asks for them:
//   GLIBC_TUNABLES=glibc.malloc.hugetlb=1 OMP_NUM_THREADS=1 build/bin/convolution_benchmark
//     --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
//     --benchmark_report_aggregates_only=true
// flops: of the forward pass's multiplications, tiles' padding included, transforms not; the input
// gradient's tiles differ, so it has none.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>

#include "kernels/convolution/winograd.hpp"

namespace {

using millrace::kernels::ConvolutionShape;
using millrace::kernels::ImageView;
using millrace::kernels::Winograd;

struct Layer {
  const char* name;
  std::int64_t channels, size, filters, taps, stride, pad;
  bool pooled;  ///< max pooling behind it: most of its output's gradient is 0

  ConvolutionShape shape(std::int64_t samples) const {
    return {.n = samples,
            .height = size,
            .width = size,
            .channels = channels,
            .filters = filters,
            .taps_y = taps,
            .taps_x = taps,
            .stride_y = stride,
            .stride_x = stride,
            .pad_y = pad,
            .pad_x = pad};
  }
};

constexpr Layer kLayers[] = {{"conv1", 3, 224, 64, 11, 4, 2, true},
                             {"conv2", 64, 27, 192, 5, 1, 2, true},
                             {"conv3", 192, 13, 384, 3, 1, 1, false},
                             {"conv4", 384, 13, 256, 3, 1, 1, false},
                             {"conv5", 256, 13, 256, 3, 1, 1, true}};

using Buffer = std::unique_ptr<float[], decltype(&std::free)>;

/// Of values between -1 and 1, aligned to a cache line.
Buffer random_floats(std::int64_t count) {
  const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(float) + 63) / 64 * 64;
  Buffer buffer(static_cast<float*>(std::aligned_alloc(64, bytes)), &std::free);
  std::mt19937 random(1);
  std::uniform_real_distribution<float> value(-1, 1);
  for (float& element : std::span(buffer.get(), static_cast<std::size_t>(count)))
    element = value(random);
  return buffer;
}

class Case {
 public:
  Case(const Layer& layer, std::int64_t samples)
      : shape_(layer.shape(samples)), winograd_(*Winograd::make(shape_, layer.pooled)) {}

  void forward() {
    winograd_.forward(view(), w_.get(), bias_.get(), true, y_.get(), workspace_.get());
  }
  void input_gradient() {
    winograd_.input_gradient(y_.get(), w_.get(), nullptr, x_.get(), workspace_.get());
  }
  void weight_gradient() {
    winograd_.weight_gradient(view(), y_.get(), false, w_.get(), bias_.get(), workspace_.get());
  }
  double flops() const {
    return 2.0 * static_cast<double>(outputs() * shape_.channels * shape_.taps_y * shape_.taps_x) /
           winograd_.saving();
  }

 private:
  std::int64_t outputs() const {
    return shape_.n * shape_.out_height() * shape_.out_width() * shape_.filters;
  }
  /// Channels-last where the stride is 1, as between layers; planes, as the images come, else.
  ImageView view() const {
    const std::int64_t pixels = shape_.height * shape_.width, image = pixels * shape_.channels;
    if (shape_.stride_y > 1) return {x_.get(), image, shape_.width, 1, pixels};
    return {x_.get(), image, shape_.width * shape_.channels, shape_.channels, 1};
  }

  ConvolutionShape shape_;
  Winograd winograd_;
  Buffer x_ = random_floats(shape_.n * shape_.height * shape_.width * shape_.channels);
  Buffer w_ = random_floats(shape_.filters * shape_.channels * shape_.taps_y * shape_.taps_x);
  Buffer bias_ = random_floats(shape_.filters);
  Buffer y_ = random_floats(outputs());
  Buffer workspace_ = random_floats(winograd_.workspace_floats());
};

using Pass = void (Case::*)();

void run(benchmark::State& state, const Layer& layer, Pass pass) {
  Case passes(layer, state.range(0));
  for (auto _ : state) (passes.*pass)();
  if (pass == &Case::input_gradient) return;
  state.counters["flops"] =
      benchmark::Counter(passes.flops(), benchmark::Counter::kIsIterationInvariantRate);
}

void add(const Layer& layer, const std::string& name, Pass pass) {
  benchmark::RegisterBenchmark((layer.name + ("_" + name)).c_str(),
                               [&layer, pass](auto& state) { run(state, layer, pass); })
      ->Arg(32)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Layer& layer : kLayers) {
    add(layer, "forward", &Case::forward);
    add(layer, "input_gradient", &Case::input_gradient);
    add(layer, "weight_gradient", &Case::weight_gradient);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
