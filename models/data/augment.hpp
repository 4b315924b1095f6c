#pragma once
// From a decoded image to a normalised sample: which part, mirrored or not, at which size.

#include <cstdint>

#include "models/data/dataset.hpp"
#include "models/data/image.hpp"
#include "models/data/samples.hpp"

namespace millrace {

/// What a model reads: C x H x W float32, (pixel / 255 - mean) / deviation.
struct SampleFormat {
  int channels = 3, height = 224, width = 224;
  Normalisation normalisation;
};

/// The format of a model's sample_shape. Throws ConfigError (tag "data") where it is not
/// 1 or 3 x H x W.
SampleFormat sample_format(const std::vector<std::int64_t>& sample_shape,
                           Normalisation normalisation);

enum class CropKind {
  resized,  ///< a rectangle of min_area..1 of the image, aspect 3/4..4/3, resized
  padded,   ///< the image at target size with a black border of `padding`, cropped
};

struct Augmentation {
  CropKind crop = CropKind::resized;
  double min_area = 0.25;
  int padding = 4;
  bool mirror = true;  ///< with probability 1/2
};

/// Resized crops from 64 px on, else padded ones by an eighth of the height; mirrored where the set
/// allows it.
Augmentation default_augmentation(const Dataset& dataset, const SampleFormat& format);

/// A rectangle of the stored image, in its pixels; parts outside the image are black.
struct Crop {
  double x = 0, y = 0, width = 0, height = 0;
  bool mirrored = false;
  bool operator==(const Crop&) const = default;
};

Crop draw_crop(const Augmentation& augmentation, const SampleFormat& format, const SampleKey& key,
               int full_width, int full_height);

/// The middle: 224 of 256 at 64 px and above, everything that fits below.
Crop centre_crop(const SampleFormat& format, int full_width, int full_height);

/// How far decoding may shrink an image of which `crop` is used: never below the target's pixels.
double shrink_limit(const Crop& crop, const SampleFormat& format);

/// Resizes the crop (bilinear, antialiased where it shrinks) and normalises it into
/// output[channels][height][width]. A crop at its own size is copied exactly.
void render_sample(const Image& image, const Crop& crop, const SampleFormat& format, float* output);

}  // namespace millrace
