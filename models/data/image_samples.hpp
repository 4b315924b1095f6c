#pragma once
// Labelled images as a model reads them.

#include <memory>
#include <utility>

#include "models/data/augment.hpp"
#include "models/data/dataset.hpp"
#include "models/data/samples.hpp"

namespace millrace {

/// [channels, height, width] and one label. In training augmented as the key draws, else the middle
/// crop.
class ImageSamples final : public Samples {
 public:
  ImageSamples(std::shared_ptr<const Dataset> dataset, SampleFormat format,
               Augmentation augmentation)
      : dataset_(std::move(dataset)), format_(std::move(format)), augmentation_(augmentation) {}
  /// With default_augmentation.
  ImageSamples(std::shared_ptr<const Dataset> dataset, const SampleFormat& format)
      : ImageSamples(dataset, format, default_augmentation(*dataset, format)) {}

  std::int64_t size() const override { return dataset_->size(); }
  SampleLayout layout() const override {
    return {{format_.channels, format_.height, format_.width}, false, {}};
  }
  void fill(const SampleKey& key, bool training, void* inputs, std::int64_t* labels) const override;
  void will_need(std::int64_t index) const override { dataset_->will_need(index); }

 private:
  std::shared_ptr<const Dataset> dataset_;
  SampleFormat format_;
  Augmentation augmentation_;
};

}  // namespace millrace
