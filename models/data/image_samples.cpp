#include "models/data/image_samples.hpp"

namespace millrace {

void ImageSamples::fill(const SampleKey& key, bool training, void* inputs,
                        std::int64_t* labels) const {
  const auto crop = [&](int full_width, int full_height) {
    return training ? draw_crop(augmentation_, format_, key, full_width, full_height)
                    : centre_crop(format_, full_width, full_height);
  };
  const auto shrink = [&](int full_width, int full_height) {
    return shrink_limit(crop(full_width, full_height), format_);
  };
  const Image image = dataset_->decode(key.index, format_.channels, shrink);
  render_sample(image, crop(image.full_width, image.full_height), format_,
                static_cast<float*>(inputs));
  labels[0] = dataset_->label(key.index);
}

}  // namespace millrace
