#pragma once
// One function per kind of data set, behind open_data.

#include <filesystem>
#include <string>
#include <vector>

#include "models/data/dataset.hpp"

namespace millrace {

/// True where the folder (or cifar-10-batches-bin/ in it) holds CIFAR-10's binary version.
bool is_cifar10(const std::filesystem::path& folder);
DataSplit open_cifar10(const DataRequest& request);

/// True where the folder holds MNIST's training images, plain or .gz.
bool is_mnist(const std::filesystem::path& folder);
DataSplit open_mnist(const DataRequest& request);

/// Every other folder is taken for one of images.
DataSplit open_image_folder(const DataRequest& request);

/// Some samples of another set, under their own indices.
class Subset : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> all, std::vector<std::int64_t> indices)
      : all_(std::move(all)), indices_(std::move(indices)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  const std::vector<std::string>& class_names() const override { return all_->class_names(); }
  std::int64_t label(std::int64_t index) const override { return all_->label(at(index)); }
  std::string sample_name(std::int64_t index) const override {
    return all_->sample_name(at(index));
  }
  Image decode(std::int64_t index, int channels, const ShrinkLimit& limit) const override {
    return all_->decode(at(index), channels, limit);
  }
  void will_need(std::int64_t index) const override { all_->will_need(at(index)); }
  std::optional<Normalisation> known_normalisation(int channels) const override {
    return all_->known_normalisation(channels);
  }
  bool may_mirror() const override { return all_->may_mirror(); }

 private:
  std::int64_t at(std::int64_t index) const { return indices_.at(static_cast<std::size_t>(index)); }

  std::shared_ptr<const Dataset> all_;
  std::vector<std::int64_t> indices_;
};

/// Draws `fraction` of each class (rounded; at least one sample stays for training) for validation.
DataSplit split_by_class(std::shared_ptr<const Dataset> all, const DataRequest& request);

/// Raw pixels as planes ([channel][height][width]) to an Image with `channels` channels.
Image image_from_planes(const std::uint8_t* planes, int width, int height, int stored_channels,
                        int channels);

[[noreturn]] void refuse_data(const std::filesystem::path& path, const std::string& problem);

}  // namespace millrace
