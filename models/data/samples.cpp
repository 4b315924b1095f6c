#include "models/data/samples.hpp"

#include <time.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <numeric>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

std::int64_t product(const std::vector<std::int64_t>& extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

/// CPU time of the calling thread: what a sample costs, whatever else the machine does.
double thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

std::int64_t SampleLayout::input_bytes() const {
  return product(inputs) * static_cast<std::int64_t>(tokens ? sizeof(std::int64_t) : sizeof(float));
}

std::int64_t SampleLayout::label_count() const { return product(labels); }

double ns_per_sample(const Samples& samples, std::uint64_t seed, int count) {
  const SampleLayout layout = samples.layout();
  std::vector<std::int64_t> inputs(static_cast<std::size_t>(layout.input_bytes() + 7) / 8);
  std::vector<std::int64_t> labels(static_cast<std::size_t>(layout.label_count()));
  std::vector<double> times;
  std::exception_ptr broken;
  const std::int64_t tries = std::min<std::int64_t>(std::max(count, 1), samples.size());
  for (std::int64_t i = 0; i < tries; ++i) {
    const double begin = thread_ns();
    try {
      samples.fill({seed, 0, i * samples.size() / tries}, true, inputs.data(), labels.data());
      times.push_back(thread_ns() - begin);
    } catch (const ConfigError&) {
      broken = std::current_exception();
    }
  }
  if (times.empty() && broken) std::rethrow_exception(broken);
  if (times.empty()) throw ConfigError("data", "the data set is empty");
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace millrace
