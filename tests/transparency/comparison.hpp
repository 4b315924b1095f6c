#pragma once
// One model, its plain training, and what plans make of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
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
///
/// ReLU and max-pooling have kinks: where an input comes within round-off of one, another order of
/// the same arithmetic takes the other branch, and gradients differ by far more than round-off
/// (measured: 1e-5 to 1e-3, else 2e-7). So the data are the first on which plain training itself
/// gives the same result in every order, and with noise of a few round-offs in the inputs; plans
/// have no say in the choice.
class Comparison {
 public:
  /// `orders`: other ones than `order` in which plain training must give the same.
  Comparison(MakeModel make, std::vector<std::int64_t> samples, OptimizerSettings optimizer,
             std::vector<Order> orders = {{2, true}, {3, false}, {1, true}, {kBatch, false, 5e-7}},
             const Order& order = {})
      : make_(std::move(make)),
        optimizer_(optimizer),
        orders_(std::move(orders)),
        before_(weights_of(fresh(make_))) {
    for (std::uint64_t data_seed = 17; data_seed < 37; ++data_seed) {
      batches_ = random_batches(fresh(make_), samples, data_seed);
      expected_ = plain(order);
      if (no_kink_is_near()) return;
    }
    throw std::runtime_error("plain training depends on the order of its arithmetic on all data");
  }

  NamedTensors run(const Shape& shape) const {
    const Model model = fresh(make_);
    return train_by_plan(model, make_plan(model, batches_[0].inputs.size(0), shape), batches_,
                         optimizer_, kSeed);
  }

  void expect_equal(const Shape& shape, double tolerance = kTolerance) const {
    const Difference difference = compare(expected_, run(shape));
    EXPECT_LE(difference.value, tolerance) << difference.name << " under " << shape.text();
    worst_ = std::max(worst_, difference.value);
  }

  const NamedTensors& before() const { return before_; }
  const NamedTensors& expected() const { return expected_; }
  double worst() const { return worst_; }

 private:
  NamedTensors plain(const Order& order) const {
    return train_plainly(fresh(make_), batches_, optimizer_, kSeed, order);
  }

  bool no_kink_is_near() const {
    return std::all_of(orders_.begin(), orders_.end(), [this](const Order& order) {
      return compare(expected_, plain(order)).value <= kTolerance / 4;
    });
  }

  MakeModel make_;
  OptimizerSettings optimizer_;
  std::vector<Order> orders_;
  std::vector<Batch> batches_;
  NamedTensors before_, expected_;
  mutable double worst_ = 0;
};

/// A few shapes that differ in everything.
inline const std::vector<Shape> kHandful = {
    {1, {1}, 10, "1f1b", false, false, {}},        {1, {2, 1}, 4, "1f1b", true, true, {}},
    {3, {1, 1}, 3, "1f1b", false, true, {}},       {4, {1, 2, 1}, 2, "fill-drain", true, false, {}},
    {3, {2, 1}, 3, "zero-bubble", true, true, {}},
};

inline std::vector<Shape> handful_of(const std::vector<std::string>& implementations) {
  std::vector<Shape> shapes = kHandful;
  for (Shape& shape : shapes) shape.implementations = implementations;
  return shapes;
}

/// With LibTorch's operators and with our own.
inline std::vector<Shape> two_handfuls() {
  std::vector<Shape> shapes = kHandful;
  for (const Shape& shape : handful_of({"millrace"})) shapes.push_back(shape);
  return shapes;
}

}  // namespace millrace::test
