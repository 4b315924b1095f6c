// What the kinds of data sets share.

#include "models/data/formats.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/data/fake_dataset.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using namespace millrace::testing;

TEST(ImageFromPlanes, InterleavesColours) {
  const Bytes planes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const Image image = image_from_planes(planes.data(), 2, 2, 3, 3);
  EXPECT_EQ(image.pixels, (Bytes{1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12}));
  EXPECT_EQ(image.full_width, 2);
}

TEST(ImageFromPlanes, RepeatsOrMixesChannels) {
  const Bytes planes = {10, 20, 100, 200, 30, 40};
  EXPECT_EQ(image_from_planes(planes.data(), 2, 1, 1, 3).pixels, (Bytes{10, 10, 10, 20, 20, 20}));
  EXPECT_EQ(image_from_planes(planes.data(), 2, 1, 1, 1).pixels, (Bytes{10, 20}));
  // 0.299 * 10 + 0.587 * 100 + 0.114 * 30, 0.299 * 20 + 0.587 * 200 + 0.114 * 40
  EXPECT_EQ(image_from_planes(planes.data(), 2, 1, 3, 1).pixels, (Bytes{65, 128}));
}

TEST(Subset, SpeaksOfItsOwnIndices) {
  const auto all = std::make_shared<FakeDataset>(10);
  const Subset some(all, {7, 2});
  ASSERT_EQ(some.size(), 2);
  EXPECT_EQ(some.label(0), 7 % 3);
  EXPECT_EQ(some.sample_name(1), "sample 2");
  EXPECT_EQ(some.decode(0, 1, {}).pixels[0], 7);
  EXPECT_EQ(some.class_names(), all->class_names());
  EXPECT_EQ(some.known_normalisation(1), all->known_normalisation(1));
  EXPECT_EQ(some.may_mirror(), all->may_mirror());
  EXPECT_THROW(some.label(2), std::out_of_range);
  EXPECT_THROW(some.label(-1), std::out_of_range);
}

std::vector<std::int64_t> counts_by_class(const Dataset& dataset) {
  std::vector<std::int64_t> counts(dataset.class_names().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    ++counts[static_cast<std::size_t>(dataset.label(i))];
  }
  return counts;
}

TEST(SplitByClass, TakesTheShareOfEachClass) {
  const auto all = std::make_shared<FakeDataset>(100);  // 34, 33 and 33 of the classes
  const DataSplit split = split_by_class(all, {"", 0.2, 1, false});
  EXPECT_THAT(counts_by_class(*split.validation), ElementsAre(7, 7, 7));
  EXPECT_THAT(counts_by_class(*split.train), ElementsAre(27, 26, 26));
}

TEST(SplitByClass, OfNothingHasNoValidation) {
  const auto all = std::make_shared<FakeDataset>(100);
  EXPECT_EQ(split_by_class(all, {"", 0, 1, false}).validation, nullptr);
  EXPECT_EQ(split_by_class(all, {"", 0, 1, false}).train, all);
  EXPECT_EQ(split_by_class(std::make_shared<FakeDataset>(3), {"", 0.3, 1, false}).validation,
            nullptr)
      << "a class of one sample gives none away";
}

TEST(MeasureNormalisation, LooksAtAnEvenSpread) {
  std::vector<std::int64_t> asked;
  FakeDataset set(100);
  set.on_decode = [&](std::int64_t index) { asked.push_back(index); };
  measure_normalisation(set, 1, 4);
  EXPECT_THAT(asked, ElementsAre(0, 25, 50, 75));
}

}  // namespace
}  // namespace millrace
