#include "models/data/sample.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <time.h>

#include <algorithm>
#include <exception>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

Crop choose_crop(const LoaderSettings& settings, const SampleKey& key, int full_width,
                 int full_height) {
  return settings.augmentation
             ? draw_crop(*settings.augmentation, settings.format, key, full_width, full_height)
             : centre_crop(settings.format, full_width, full_height);
}

/// CPU time of the calling thread: what a sample costs, whatever else the machine does.
double thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

void decode_sample(const Dataset& dataset, const LoaderSettings& settings, std::int64_t epoch,
                   std::int64_t index, float* output) {
  const SampleKey key{settings.seed, epoch, index};
  const auto shrink = [&](int full_width, int full_height) {
    return shrink_limit(choose_crop(settings, key, full_width, full_height), settings.format);
  };
  const Image image = dataset.decode(index, settings.format.channels, shrink);
  render_sample(image, choose_crop(settings, key, image.full_width, image.full_height),
                settings.format, output);
}

double loader_ns_per_sample(const Dataset& dataset, const LoaderSettings& settings, int samples) {
  const auto& format = settings.format;
  std::vector<float> output(
      static_cast<std::size_t>(format.channels * format.height * format.width));
  std::vector<double> times;
  std::exception_ptr broken;
  const std::int64_t count = std::min<std::int64_t>(std::max(samples, 1), dataset.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const double begin = thread_ns();
    try {
      decode_sample(dataset, settings, 0, i * dataset.size() / count, output.data());
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

at::Tensor load_image(const std::string& file, const SampleFormat& format) {
  const Image image = read_image(file, format.channels, [&](int full_width, int full_height) {
    return shrink_limit(centre_crop(format, full_width, full_height), format);
  });
  at::Tensor result = at::empty({1, format.channels, format.height, format.width});
  render_sample(image, centre_crop(format, image.full_width, image.full_height), format,
                result.data_ptr<float>());
  return result;
}

}  // namespace millrace
