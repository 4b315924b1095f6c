#pragma once
// One model, its plain training, and what plans make of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "tests/transparency/pipelined_training.hpp"
#include "tests/transparency/plain_training.hpp"

namespace millrace::test {

inline constexpr double kTolerance = 1e-5;  // max|a - b| / max|a| per tensor
inline constexpr std::uint64_t kSeed = 23;
inline constexpr std::int64_t kBatch = 10;

using MakeModel = std::function<Model()>;

inline Model fresh(const MakeModel& make) {
  Model model = make();
  initialise(model, 5);
  return model;
}

inline OptimizerSettings sgd() { return {}; }

/// Plain training of a model, and what plans make of it.
class Comparison {
 public:
  Comparison(MakeModel make, std::vector<std::int64_t> samples, OptimizerSettings optimizer)
      : make_(std::move(make)), optimizer_(optimizer) {
    const Model model = fresh(make_);
    batches_ = random_batches(model, samples);
    before_ = weights_of(model);
    expected_ = train_plainly(model, batches_, optimizer_, kSeed);
  }

  NamedTensors run(const Shape& shape) const {
    const Model model = fresh(make_);
    return train_by_plan(model, make_plan(model, batches_[0].inputs.size(0), shape), batches_,
                         optimizer_, kSeed);
  }

  void expect_equal(const Shape& shape) const {
    const Difference difference = compare(expected_, run(shape));
    EXPECT_LE(difference.value, kTolerance) << difference.name << " under " << shape.text();
    worst_ = std::max(worst_, difference.value);
  }

  const NamedTensors& before() const { return before_; }
  const NamedTensors& expected() const { return expected_; }
  double worst() const { return worst_; }

 private:
  MakeModel make_;
  OptimizerSettings optimizer_;
  std::vector<Batch> batches_;
  NamedTensors before_, expected_;
  mutable double worst_ = 0;
};

/// A few shapes that differ in everything.
inline const std::vector<Shape> kHandful = {
    {1, {1}, 10, "1f1b", false, false, ""},
    {1, {2, 1}, 4, "1f1b", true, true, ""},
    {3, {1, 1}, 3, "1f1b", false, true, ""},
    {4, {1, 2, 1}, 2, "fill-drain", true, false, ""},
};

}  // namespace millrace::test
