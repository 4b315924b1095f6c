#pragma once
// A data set in memory that says what was asked of it.

#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <vector>

#include "millrace/errors.hpp"
#include "models/data/dataset.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace::testing {

/// Sample i is a flat 4 x 4 image of grey level i and label i % 3.
class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(std::int64_t size, std::set<std::int64_t> broken = {})
      : size_(size), broken_(std::move(broken)) {}

  std::int64_t size() const override { return size_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::int64_t label(std::int64_t index) const override { return index % 3; }
  std::string sample_name(std::int64_t index) const override {
    return "sample " + std::to_string(index);
  }
  Image decode(std::int64_t index, int channels, const ShrinkLimit&) const override {
    ++begun_;
    if (on_decode) on_decode(index);
    if (broken_.contains(index)) throw ConfigError("image", sample_name(index) + " is broken");
    return make_image(4, 4, channels, [&](int, int, int) { return static_cast<int>(index); });
  }
  std::optional<Normalisation> known_normalisation(int channels) const override {
    const auto count = static_cast<std::size_t>(channels);
    return Normalisation{std::vector<float>(count, 0), std::vector<float>(count, 1)};
  }

  void will_need(std::int64_t index) const override {
    const std::scoped_lock lock(mutex_);
    needed_.push_back(index);
  }

  std::int64_t begun() const { return begun_; }
  /// What will_need() was told so far.
  std::vector<std::int64_t> needed() const {
    const std::scoped_lock lock(mutex_);
    return needed_;
  }

  std::function<void(std::int64_t index)> on_decode;

 private:
  std::int64_t size_;
  std::set<std::int64_t> broken_;
  std::vector<std::string> class_names_ = {"a", "b", "c"};
  mutable std::atomic<std::int64_t> begun_{0};
  mutable std::mutex mutex_;
  mutable std::vector<std::int64_t> needed_;  // guarded by mutex_
};

}  // namespace millrace::testing
