#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "millrace/errors.hpp"
#include "models/data/dataset.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace millrace::testing;

/// A picture whose grey level says which one it is.
Bytes picture(int level) {
  const auto value = static_cast<std::uint8_t>(level);
  return png_bytes(flat_image(4, 4, value, value, value));
}

void add_class(const fs::path& folder, const std::string& name, int images) {
  fs::create_directories(folder / name);
  for (int i = 0; i < images; ++i) {
    write_file(folder / name / (std::to_string(i) + ".png"), picture(10 * i));
  }
}

DataSplit open(const fs::path& path, double fraction = 0, bool skip_bad = false) {
  return open_data({path.string(), fraction, 1, skip_bad});
}

std::string refusal(const fs::path& path, bool skip_bad = false) {
  return message_of([&] { open(path, 0, skip_bad); });
}

std::set<std::string> names_of(const Dataset& dataset) {
  std::set<std::string> names;
  for (std::int64_t i = 0; i < dataset.size(); ++i) names.insert(dataset.sample_name(i));
  return names;
}

TEST(ImageFolder, GivesClassesAndFilesInOrder) {
  const ScratchFolder folder;
  add_class(folder.path(), "dogs", 2);
  add_class(folder.path(), "cats", 3);
  const DataSplit split = open(folder.path());
  EXPECT_EQ(split.kind, "image folder");
  EXPECT_EQ(split.validation, nullptr);
  EXPECT_THAT(split.train->class_names(), ElementsAre("cats", "dogs"));
  ASSERT_EQ(split.train->size(), 5);
  EXPECT_EQ(split.train->label(2), 0);
  EXPECT_EQ(split.train->label(3), 1);
  EXPECT_EQ(split.train->sample_name(4), folder / "dogs/1.png");
  EXPECT_EQ(split.train->decode(4, 3, {}).pixels[0], 10);
  EXPECT_EQ(split.train->decode(4, 1, {}).channels, 1);
  EXPECT_TRUE(split.train->may_mirror());
}

TEST(ImageFolder, TakesEndingsInAnyCaseNestedFoldersAndNothingElse) {
  const ScratchFolder folder;
  add_class(folder.path(), "b", 1);
  write_file(folder / "a/one.JPG", jpeg_bytes(gradient_image(8, 8)));
  write_file(folder / "a/deep/er/two.Jpeg", jpeg_bytes(gradient_image(8, 8)));
  write_file(folder / "a/notes.txt", Bytes{'x'});
  write_file(folder / "a/.hidden.png", picture(0));
  write_file(folder / ".thumbnails/three.png", picture(0));
  write_file(folder / "a/.ipynb_checkpoints/four.png", picture(0));
  write_file(folder / "a/deep/.thumbnails/large/five.png", picture(0));
  write_file(folder / "readme.png", picture(0));
  const DataSplit split = open(folder.path());
  EXPECT_EQ(names_of(*split.train),
            (std::set<std::string>{folder / "a/deep/er/two.Jpeg", folder / "a/one.JPG",
                                   folder / "b/0.png"}));
}

class ValidationFolder : public ::testing::TestWithParam<std::string> {};

TEST_P(ValidationFolder, BesideTrainIsUsed) {
  const ScratchFolder folder;
  for (const char* name : {"a", "b", "c"}) add_class(folder.path() / "train", name, 2);
  add_class(folder.path() / GetParam(), "a", 1);
  add_class(folder.path() / GetParam(), "c", 1);
  const DataSplit split = open(folder.path(), 0.5);
  EXPECT_EQ(split.train->size(), 6);
  ASSERT_EQ(split.validation->size(), 2);
  EXPECT_EQ(split.validation->class_names(), split.train->class_names());
  EXPECT_EQ(split.validation->label(1), 2);
}

INSTANTIATE_TEST_SUITE_P(Names, ValidationFolder, ::testing::Values("val", "validation", "test"));

TEST(ImageFolder, SplitsEachClassBySeed) {
  const ScratchFolder folder;
  add_class(folder.path(), "a", 10);
  add_class(folder.path(), "b", 20);
  const auto split = [&](std::uint64_t seed) {
    return open_data({folder.path().string(), 0.2, seed, false});
  };
  const DataSplit first = split(1), again = split(1), other = split(2);
  EXPECT_EQ(first.train->size(), 24);
  ASSERT_EQ(first.validation->size(), 6);
  int of_a = 0;
  for (std::int64_t i = 0; i < 6; ++i) of_a += first.validation->label(i) == 0 ? 1 : 0;
  EXPECT_EQ(of_a, 2);
  EXPECT_EQ(names_of(*first.validation), names_of(*again.validation));
  EXPECT_NE(names_of(*first.validation), names_of(*other.validation));
  auto all = names_of(*first.train);
  all.merge(names_of(*first.validation));
  EXPECT_EQ(all.size(), 30u);
}

TEST(ImageFolder, LeavesEachClassASampleForTraining) {
  const ScratchFolder folder;
  add_class(folder.path(), "a", 1);
  add_class(folder.path(), "b", 4);
  const DataSplit split = open(folder.path(), 0.9);
  EXPECT_EQ(split.train->label(0), 0);
  EXPECT_EQ(split.train->label(1), 1);
  EXPECT_EQ(split.validation->size(), 3);
}

TEST(ImageFolder, TrainWithoutValidationIsSplit) {
  const ScratchFolder folder;
  add_class(folder.path() / "train", "a", 4);
  add_class(folder.path() / "train", "b", 4);
  const DataSplit split = open(folder.path(), 0.25);
  EXPECT_EQ(split.train->size(), 6);
  EXPECT_EQ(split.validation->size(), 2);
}

TEST(ImageFolder, AClassMayBeCalledTrain) {
  const ScratchFolder folder;
  for (const char* name : {"bus", "plane", "train"}) add_class(folder.path(), name, 2);
  EXPECT_THAT(open(folder.path()).train->class_names(), ElementsAre("bus", "plane", "train"));
  for (const char* name : {"fast", "slow"}) {
    fs::create_directories(folder.path() / "train" / name);
    fs::rename(folder.path() / "train" / (name == std::string("fast") ? "0.png" : "1.png"),
               folder.path() / "train" / name / "0.png");
  }
  EXPECT_THAT(open(folder.path()).train->class_names(), ElementsAre("bus", "plane", "train"))
      << "what stands beside it is no validation data";
  fs::remove_all(folder.path() / "bus");
  fs::rename(folder.path() / "plane", folder.path() / ".plane");
  EXPECT_THAT(open(folder.path()).train->class_names(), ElementsAre("fast", "slow"));
  fs::create_directories(folder.path() / "annotations");
  EXPECT_THAT(open(folder.path()).train->class_names(), ElementsAre("fast", "slow"))
      << "no images are there";
}

TEST(OpenData, RefusesWhatIsNoDataSet) {
  const ScratchFolder folder;
  EXPECT_THAT(refusal(folder / "missing"),
              AllOf(HasSubstr("[data]"), HasSubstr("missing"), HasSubstr("no such folder")));
  write_file(folder / "file.png", picture(0));
  EXPECT_THAT(refusal(folder / "file.png"), HasSubstr("is a file"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("holds no classes"));
  add_class(folder.path(), "cats", 2);
  EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("one class ('cats')"), HasSubstr("2")));
}

TEST(OpenData, RefusesAShareThatIsNone) {
  const ScratchFolder folder;
  for (const double fraction : {-0.1, 1.0, 2.0}) {
    EXPECT_THAT(message_of([&] { open(folder.path(), fraction); }), HasSubstr("below 1"));
  }
}

TEST(ImageFolder, NamesAnEmptyClassOrLeavesItOut) {
  const ScratchFolder folder;
  add_class(folder.path(), "a", 2);
  add_class(folder.path(), "b", 2);
  add_class(folder.path(), "empty", 0);
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr(folder / "empty"), HasSubstr("--skip-bad-images")));
  EXPECT_THAT(open(folder.path(), 0, true).train->class_names(), ElementsAre("a", "b"));
}

TEST(ImageFolder, RefusesAClassThatTrainingLacks) {
  const ScratchFolder folder;
  add_class(folder.path() / "train", "a", 2);
  add_class(folder.path() / "train", "b", 2);
  add_class(folder.path() / "val", "z", 1);
  EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("val/z"), HasSubstr("not among")));
  fs::remove_all(folder.path() / "val/z");
  EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("/val"), HasSubstr("holds no classes")));
}

TEST(ImageFolder, NamesABrokenImageWhenItIsAskedFor) {
  const ScratchFolder folder;
  add_class(folder.path(), "a", 1);
  write_file(folder / "b/broken.jpg", {});
  const DataSplit split = open(folder.path());
  EXPECT_THAT(message_of([&] { split.train->decode(1, 3, {}); }),
              AllOf(HasSubstr(folder / "b/broken.jpg"), HasSubstr("0 bytes")));
}

TEST(Normalisation, OfImageFoldersIsImageNets) {
  const ScratchFolder folder;
  add_class(folder.path(), "a", 1);
  add_class(folder.path(), "b", 1);
  const auto train = open(folder.path()).train;
  EXPECT_FLOAT_EQ(normalisation_of(*train, 3).mean[0], 0.485f);
  // Grey has no published one: levels 0 and 0 of two flat pictures.
  EXPECT_FLOAT_EQ(normalisation_of(*train, 1).mean.at(0), 0);
}

TEST(Normalisation, IsMeasuredOverPixels) {
  const ScratchFolder folder;
  write_file(folder / "a/0.png", png_bytes(flat_image(4, 4, 0, 102, 51)));
  write_file(folder / "b/0.png", png_bytes(flat_image(4, 4, 255, 102, 102)));
  const Normalisation measured = measure_normalisation(*open(folder.path()).train, 3);
  EXPECT_NEAR(measured.mean[0], 0.5, 1e-6);
  EXPECT_NEAR(measured.deviation[0], 0.5, 1e-6);
  EXPECT_NEAR(measured.mean[1], 0.4, 1e-6);
  EXPECT_NEAR(measured.deviation[1], 1 / 255.0, 1e-6) << "one grey level where there is no spread";
  EXPECT_NEAR(measured.deviation[2], 0.1, 1e-6);
}

TEST(Normalisation, LeavesBrokenImagesOut) {
  const ScratchFolder folder;
  write_file(folder / "a/0.png", {});
  write_file(folder / "b/0.png", png_bytes(flat_image(4, 4, 51, 51, 51)));
  EXPECT_NEAR(measure_normalisation(*open(folder.path()).train, 3).mean[0], 0.2, 1e-6);
  write_file(folder / "b/0.png", {});
  EXPECT_THROW(measure_normalisation(*open(folder.path()).train, 3), ConfigError);
}

}  // namespace
}  // namespace millrace
