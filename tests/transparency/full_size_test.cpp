// The models as people train them, with a handful of plans each.

#include <gtest/gtest.h>

#include "models/zoo/zoo.hpp"
#include "tests/transparency/comparison.hpp"

namespace millrace::test {
namespace {

MakeModel from_zoo(const std::string& name) {
  return [name] { return make_model(name, 0); };
}

TEST(FullSize, lenet5) {
  const Comparison comparison(from_zoo("lenet5"), {kBatch, kBatch, 7}, sgd());
  for (const Shape& shape : two_handfuls()) comparison.expect_equal(shape);
}

TEST(FullSize, alexnet_32) {
  const Comparison comparison(from_zoo("alexnet-32"), {kBatch, kBatch, 7}, sgd());
  for (const Shape& shape : two_handfuls()) comparison.expect_equal(shape);
}

TEST(FullSize, alexnet_at_224_px) {
  const Comparison comparison(from_zoo("alexnet"), {3, 3, 2}, sgd());
  comparison.expect_equal({2, {1, 1}, 2, "1f1b", true, true, {"libtorch-channels-last"}});
  comparison.expect_equal({3, {1}, 2, "fill-drain", false, false, {}});
  comparison.expect_equal({2, {1, 1}, 1, "1f1b", false, false, {"direct", "millrace"}});
  // up to ten times a direct convolution's rounding in each layer (Winograd.LosesLittle)
  comparison.expect_equal({3, {1}, 2, "1f1b", true, false, {"winograd", "millrace"}}, 1e-4);
}

}  // namespace
}  // namespace millrace::test
