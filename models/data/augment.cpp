#include "models/data/augment.hpp"

#include <algorithm>
#include <cmath>

#include "millrace/errors.hpp"
#include "models/data/draws.hpp"

namespace millrace {
namespace {

constexpr int kPhotoHeight = 64;
constexpr int kCropAttempts = 10;

/// The rectangle of a whole-image resize that reaches the target's size on both axes and no more on
/// one of them; stored pixels per target pixel.
double fitting_scale(const SampleFormat& format, int full_width, int full_height) {
  return std::min(static_cast<double>(full_width) / format.width,
                  static_cast<double>(full_height) / format.height);
}

Crop middle(double width, double height, int full_width, int full_height) {
  return {std::floor((full_width - width) / 2), std::floor((full_height - height) / 2), width,
          height, false};
}

/// As torchvision's RandomResizedCrop: a few attempts at an area and an aspect that fit, else the
/// middle.
Crop resized_crop(const Augmentation& augmentation, const SampleFormat& format, Draws& draws,
                  int full_width, int full_height) {
  const double area = static_cast<double>(full_width) * full_height;
  for (int attempt = 0; attempt < kCropAttempts; ++attempt) {
    const double part = area * draws.uniform(augmentation.min_area, 1);
    const double aspect = std::exp(draws.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
    const double width = std::round(std::sqrt(part * aspect));
    const double height = std::round(std::sqrt(part / aspect));
    if (width < 1 || height < 1 || width > full_width || height > full_height) continue;
    const double x =
        static_cast<double>(draws.below(static_cast<std::uint64_t>(full_width - width) + 1));
    const double y =
        static_cast<double>(draws.below(static_cast<std::uint64_t>(full_height - height) + 1));
    return {x, y, width, height, false};
  }
  const double scale = fitting_scale(format, full_width, full_height);
  return middle(format.width * scale, format.height * scale, full_width, full_height);
}

/// A whole number of target pixels from one border of the padded image.
double padded_start(Draws& draws, double full, double extent, double scale, int padding) {
  const double room = (full - extent) / scale + 2 * padding;
  const auto positions = static_cast<std::uint64_t>(std::floor(room + 1e-9)) + 1;
  return (static_cast<double>(draws.below(positions)) - padding) * scale;
}

Crop padded_crop(const Augmentation& augmentation, const SampleFormat& format, Draws& draws,
                 int full_width, int full_height) {
  const double scale = fitting_scale(format, full_width, full_height);
  const double width = format.width * scale, height = format.height * scale;
  const double x = padded_start(draws, full_width, width, scale, augmentation.padding);
  const double y = padded_start(draws, full_height, height, scale, augmentation.padding);
  return {x, y, width, height, false};
}

}  // namespace

SampleFormat sample_format(const std::vector<std::int64_t>& sample_shape,
                           Normalisation normalisation) {
  const bool image = sample_shape.size() == 3 && (sample_shape[0] == 1 || sample_shape[0] == 3);
  if (!image) {
    std::string text;
    for (const auto extent : sample_shape)
      text += (text.empty() ? "" : " x ") + std::to_string(extent);
    throw ConfigError("data", "the model reads samples of " + text +
                                  ", images are 1 or 3 x height x width: give it data of its own");
  }
  return {static_cast<int>(sample_shape[0]), static_cast<int>(sample_shape[1]),
          static_cast<int>(sample_shape[2]), std::move(normalisation)};
}

Augmentation default_augmentation(const Dataset& dataset, const SampleFormat& format) {
  Augmentation result;
  result.crop = format.height >= kPhotoHeight ? CropKind::resized : CropKind::padded;
  result.padding = format.height / 8;
  result.mirror = dataset.may_mirror();
  return result;
}

Crop draw_crop(const Augmentation& augmentation, const SampleFormat& format, const SampleKey& key,
               int full_width, int full_height) {
  Draws draws{key.seed, static_cast<std::uint64_t>(key.epoch),
              static_cast<std::uint64_t>(key.index)};
  const bool mirrored = draws.coin() && augmentation.mirror;
  const auto draw = augmentation.crop == CropKind::resized ? resized_crop : padded_crop;
  Crop crop = draw(augmentation, format, draws, full_width, full_height);
  crop.mirrored = mirrored;
  return crop;
}

Crop centre_crop(const SampleFormat& format, int full_width, int full_height) {
  const double part = format.height >= kPhotoHeight ? 224.0 / 256 : 1;
  const double scale = fitting_scale(format, full_width, full_height) * part;
  return middle(format.width * scale, format.height * scale, full_width, full_height);
}

double shrink_limit(const Crop& crop, const SampleFormat& format) {
  return std::min(1.0, std::max(format.width / crop.width, format.height / crop.height));
}

}  // namespace millrace
