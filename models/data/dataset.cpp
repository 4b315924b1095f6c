// What all kinds of data sets share: recognition, split, statistics.

#include "models/data/dataset.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>

#include "millrace/errors.hpp"
#include "models/data/draws.hpp"
#include "models/data/formats.hpp"

namespace millrace {
namespace {

std::vector<std::vector<std::int64_t>> indices_by_class(const Dataset& dataset) {
  std::vector<std::vector<std::int64_t>> classes(dataset.class_names().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    classes.at(static_cast<std::size_t>(dataset.label(i))).push_back(i);
  }
  return classes;
}

/// Sums over pixels of one channel, scaled to 0..1.
struct Moments {
  double count = 0, sum = 0, squares = 0;

  void add(double value) {
    ++count;
    sum += value;
    squares += value * value;
  }
};

void add_pixels(const Image& image, std::array<Moments, 3>& moments) {
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    moments[i % channels].add(image.pixels[i] / 255.0);
  }
}

Normalisation from_moments(const std::array<Moments, 3>& moments, int channels) {
  Normalisation result;
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    const double mean = moments[c].sum / moments[c].count;
    const double variance = std::max(0.0, moments[c].squares / moments[c].count - mean * mean);
    result.mean.push_back(static_cast<float>(mean));
    // A set of equal pixels has no spread; one grey level keeps the division defined.
    result.deviation.push_back(static_cast<float>(std::max(std::sqrt(variance), 1.0 / 255)));
  }
  return result;
}

}  // namespace

void refuse_data(const std::filesystem::path& path, const std::string& problem) {
  throw ConfigError("data", path.string() + ": " + problem);
}

DataSplit open_data(const DataRequest& request) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(request.path, error);
  if (!fs::exists(status)) refuse_data(request.path, "there is no such folder: check --data");
  if (!fs::is_directory(status)) {
    refuse_data(request.path,
                "is a file: images are given as the folder that holds the data set, text needs a "
                "model that reads it, such as char-gpt");
  }
  const bool fraction_fits = request.validation_fraction >= 0 && request.validation_fraction < 1;
  if (!fraction_fits) {
    refuse_data(request.path, "validation share " + std::to_string(request.validation_fraction) +
                                  ": it must be at least 0 and below 1");
  }
  try {
    if (is_cifar10(request.path)) return open_cifar10(request);
    if (is_mnist(request.path)) return open_mnist(request);
    return open_image_folder(request);
  } catch (const fs::filesystem_error& failure) {
    refuse_data(failure.path1(), "cannot be read: " + failure.code().message());
  }
}

DataSplit split_by_class(std::shared_ptr<const Dataset> all, const DataRequest& request) {
  std::vector<std::int64_t> train, validation;
  std::uint64_t label = 0;
  for (auto& indices : indices_by_class(*all)) {
    Draws draws{request.seed, label++};
    for (std::size_t i = indices.size(); i > 1; --i)
      std::swap(indices[i - 1], indices[draws.below(i)]);
    const double wanted =
        std::round(request.validation_fraction * static_cast<double>(indices.size()));
    const auto held = std::min(static_cast<std::ptrdiff_t>(wanted),
                               std::max<std::ptrdiff_t>(std::ssize(indices) - 1, 0));
    validation.insert(validation.end(), indices.begin(), indices.begin() + held);
    train.insert(train.end(), indices.begin() + held, indices.end());
  }
  if (validation.empty()) return {std::move(all), nullptr, ""};
  std::sort(train.begin(), train.end());
  std::sort(validation.begin(), validation.end());
  return {std::make_shared<Subset>(all, std::move(train)),
          std::make_shared<Subset>(all, std::move(validation)), ""};
}

Image image_from_planes(const std::uint8_t* planes, int width, int height, int stored_channels,
                        int channels) {
  Image image{width, height, channels, width, height, {}};
  const auto plane = static_cast<std::size_t>(width * height);
  image.pixels.reserve(plane * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < plane; ++i) {
    const std::uint8_t red = planes[i];
    const std::uint8_t green = stored_channels == 3 ? planes[plane + i] : red;
    const std::uint8_t blue = stored_channels == 3 ? planes[2 * plane + i] : red;
    if (channels == 3) {
      image.pixels.insert(image.pixels.end(), {red, green, blue});
    } else {
      image.pixels.push_back(
          static_cast<std::uint8_t>((299 * red + 587 * green + 114 * blue + 500) / 1000));
    }
  }
  return image;
}

Normalisation measure_normalisation(const Dataset& dataset, int channels, std::int64_t samples) {
  // Statistics change little with resolution: 64 px on the shorter side are enough.
  const ShrinkLimit small = [](int width, int height) { return 64.0 / std::min(width, height); };
  std::array<Moments, 3> moments;
  std::exception_ptr broken;
  const std::int64_t count = std::min(samples, dataset.size());
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      add_pixels(dataset.decode(i * dataset.size() / count, channels, small), moments);
    } catch (const ConfigError&) {
      broken = std::current_exception();
    }
  }
  if (moments[0].count == 0 && broken) std::rethrow_exception(broken);
  return from_moments(moments, channels);
}

Normalisation normalisation_of(const Dataset& dataset, int channels) {
  const auto known = dataset.known_normalisation(channels);
  return known ? *known : measure_normalisation(dataset, channels);
}

}  // namespace millrace
