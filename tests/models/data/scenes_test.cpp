#include "models/data/scenes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <tbb/parallel_for.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <map>
#include <numeric>

#include "millrace/errors.hpp"
#include "models/data/dataset.hpp"
#include "models/data/scenes/painters.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace millrace::testing;

std::map<std::string, std::string> contents_of(const fs::path& folder) {
  std::map<std::string, std::string> result;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    result[fs::relative(entry.path(), folder).string()] = {std::istreambuf_iterator<char>(stream),
                                                           {}};
  }
  return result;
}

std::size_t entries_in(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(MakeScenes, WritesAnImageFolderWithItsSplit) {
  const ScratchFolder folder;
  EXPECT_TRUE(make_scenes(folder / "photos", {.per_class = 3}));
  const DataSplit split = open_data({folder / "photos"});
  EXPECT_EQ(split.train->class_names(), scene_names());
  EXPECT_EQ(split.train->size(), 20);
  ASSERT_EQ(split.validation->size(), 10);
  for (std::int64_t i = 0; i < split.validation->size(); ++i) {
    const Image image = split.validation->decode(i, 3, {});
    EXPECT_EQ(split.validation->label(i), i);
    EXPECT_GE(std::min(image.width, image.height), 330);
    EXPECT_LE(std::max(image.width, image.height), 560);
  }
  EXPECT_EQ(entries_in(folder.path()), 1u) << "nothing unfinished is left beside it";
}

TEST(MakeScenes, SameSettingsGiveTheSameBytesOnAnyNumberOfThreads) {
  const ScratchFolder folder;
  make_scenes(folder / "a", {.per_class = 2, .seed = 3, .threads = 1});
  make_scenes(folder / "b", {.per_class = 2, .seed = 3, .threads = 0});
  make_scenes(folder / "c", {.per_class = 2, .seed = 4});
  const auto a = contents_of(folder / "a"), c = contents_of(folder / "c");
  EXPECT_EQ(a.size(), 21u);
  EXPECT_EQ(a, contents_of(folder / "b"));
  for (const auto& [name, bytes] : a) EXPECT_NE(bytes, c.at(name)) << name;
}

TEST(MakeScenes, ReusesACompleteSet) {
  const ScratchFolder folder;
  const SceneSettings settings{.per_class = 2};
  EXPECT_TRUE(make_scenes(folder / "photos/", settings));
  const auto written = fs::last_write_time(folder / "photos/train/balls/00000.jpg");
  EXPECT_FALSE(make_scenes(folder / "photos", settings));
  EXPECT_EQ(fs::last_write_time(folder / "photos/train/balls/00000.jpg"), written);
  EXPECT_EQ(entries_in(folder.path()), 1u);
}

TEST(MakeScenes, FillsAnEmptyFolder) {
  const ScratchFolder folder;
  EXPECT_TRUE(make_scenes(folder.path().string(), {.per_class = 2}));
  EXPECT_TRUE(fs::exists(folder / "val/tiles/00001.jpg"));
}

TEST(MakeScenes, RefusesAFolderWithSomethingElse) {
  const ScratchFolder folder;
  write_file(folder / "photos/mine.txt", Bytes{'x'});
  const auto refusal = [&](const SceneSettings& settings) {
    return message_of([&] { make_scenes(folder / "photos", settings); });
  };
  EXPECT_THAT(refusal({.per_class = 2}), AllOf(HasSubstr("photos"), HasSubstr("something else")));
  EXPECT_EQ(contents_of(folder / "photos").size(), 1u);

  fs::remove_all(folder / "photos");
  make_scenes(folder / "photos", {.per_class = 2});
  EXPECT_THAT(refusal({.per_class = 3}), AllOf(HasSubstr("2 a class"), HasSubstr("3 a class")));
  EXPECT_THAT(refusal({.per_class = 2, .seed = 9}), HasSubstr("seed 9"));

  fs::resize_file(folder / "photos/train/hills/00000.jpg", 0);
  EXPECT_THAT(refusal({.per_class = 2}), HasSubstr("incomplete"));
}

TEST(MakeScenes, RefusesNumbersOutOfRange) {
  const ScratchFolder folder;
  for (const std::int64_t per_class : {-1, 0, 1, 100'001}) {
    EXPECT_THAT(message_of([&] { make_scenes(folder / "a", {.per_class = per_class}); }),
                HasSubstr(std::to_string(per_class)));
  }
  EXPECT_NE(message_of([&] { make_scenes(folder / "a", {.threads = -1}); }), "");
  EXPECT_NE(message_of([&] { make_scenes("", {}); }), "");
  EXPECT_EQ(entries_in(folder.path()), 0u);
}

TEST(MakeScenes, LeavesNothingWhereItCannotWrite) {
  const ScratchFolder folder;
  write_file(folder / "file", Bytes{'x'});
  EXPECT_THROW(make_scenes(folder / "file/photos", {.per_class = 2}), ResourceError);
  if (::geteuid() == 0) return;  // root may write anywhere
  fs::create_directories(folder / "locked");
  ::chmod((folder / "locked").c_str(), 0500);
  EXPECT_THROW(make_scenes(folder / "locked/photos", {.per_class = 2}), ResourceError);
  EXPECT_EQ(entries_in(folder / "locked"), 0u);
}

// ---- What the pictures show: structure tells the classes apart, colours do not. ----

using Features = std::vector<double>;

/// Share of pixels in each of 4 x 4 x 4 colour cells.
Features colours_of(const Image& image) {
  Features result(64);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    const int cell =
        image.pixels[i] / 64 * 16 + image.pixels[i + 1] / 64 * 4 + image.pixels[i + 2] / 64;
    result[static_cast<std::size_t>(cell)] += 3.0 / static_cast<double>(image.pixels.size());
  }
  return result;
}

double luminance_at(const Image& image, int x, int y) {
  const auto* pixel = &image.pixels[static_cast<std::size_t>((y * image.width + x) * 3)];
  return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
}

/// Edge strength by direction (12) and third of the height (3), over 12-pixel steps so that grain
/// does not count.
Features edges_of(const Image& image) {
  constexpr int kStep = 6;
  Features result(36);
  double total = 0;
  for (int y = kStep; y + kStep < image.height; y += 3) {
    for (int x = kStep; x + kStep < image.width; x += 3) {
      const double dx = luminance_at(image, x + kStep, y) - luminance_at(image, x - kStep, y);
      const double dy = luminance_at(image, x, y + kStep) - luminance_at(image, x, y - kStep);
      const double turn = std::atan2(dy, dx) / (2 * M_PI) + 0.5;  // 0..1
      const auto direction = static_cast<std::size_t>(turn * 12) % 12;
      const auto third = static_cast<std::size_t>(y * 3 / image.height);
      result[third * 12 + direction] += std::hypot(dx, dy);
      total += std::hypot(dx, dy);
    }
  }
  for (double& value : result) value /= total;
  return result;
}

double distance(const Features& a, const Features& b) {
  return std::transform_reduce(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
                               [](double x, double y) { return (x - y) * (x - y); });
}

constexpr std::size_t kTrain = 14, kTest = 5;

/// Features of kTrain + kTest pictures of each class, painted once for all tests.
struct Painted {
  std::vector<Features> colours, edges;  ///< [label * (kTrain + kTest) + number]
};

const Painted& painted() {
  static const Painted pictures = [] {
    const std::size_t count = scenes::all().size() * (kTrain + kTest);
    Painted result{std::vector<Features>(count), std::vector<Features>(count)};
    tbb::parallel_for(std::size_t{0}, count, [&](std::size_t i) {
      const auto number = static_cast<std::int64_t>(i % (kTrain + kTest));
      const Image image = scenes::paint(i / (kTrain + kTest), number, 1);
      result.colours[i] = colours_of(image);
      result.edges[i] = edges_of(image);
    });
    return result;
  }();
  return pictures;
}

Features mean_of(const Features* pictures, std::size_t count) {
  Features mean(pictures[0].size());
  for (std::size_t k = 0; k < count; ++k) {
    for (std::size_t i = 0; i < mean.size(); ++i) {
      mean[i] += pictures[k][i] / static_cast<double>(count);
    }
  }
  return mean;
}

/// Share of right answers of the nearest class mean for pictures that no mean has seen.
double accuracy_by(const std::vector<Features>& features) {
  const std::size_t classes = scenes::all().size(), each = kTrain + kTest;
  std::vector<Features> means;
  for (std::size_t label = 0; label < classes; ++label) {
    means.push_back(mean_of(&features[label * each], kTrain));
  }
  std::size_t right = 0;
  for (std::size_t i = 0; i < features.size(); ++i) {
    if (i % each < kTrain) continue;
    const auto nearest = std::min_element(means.begin(), means.end(), [&](auto& a, auto& b) {
      return distance(features[i], a) < distance(features[i], b);
    });
    right += nearest == means.begin() + static_cast<std::ptrdiff_t>(i / each) ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(classes * kTest);
}

TEST(Scenes, ColoursDoNotTellTheClass) { EXPECT_LT(accuracy_by(painted().colours), 0.25); }

TEST(Scenes, StructureDoes) { EXPECT_GT(accuracy_by(painted().edges), 0.5); }

TEST(Canvas, CutsOffWhatLiesOutside) {
  scenes::Canvas canvas(4, 3);
  canvas.paint_disc(0, 0, 50, {1, 1, 1});
  EXPECT_EQ(canvas.at(3, 2).green, 1);
  canvas.paint_disc(100, 100, 5, {0, 0, 0});
  EXPECT_EQ(canvas.at(3, 2).green, 1);
}

TEST(Canvas, BlendsEdgesByCoverage) {
  scenes::Canvas canvas(8, 8);
  canvas.paint_disc(4, 4, 2.5f, {1, 1, 1});
  EXPECT_EQ(canvas.at(4, 4).red, 1);
  EXPECT_EQ(canvas.at(0, 0).red, 0);
  EXPECT_GT(canvas.at(6, 4).red, 0);
  EXPECT_LT(canvas.at(6, 4).red, 1);
}

TEST(Noise, IsSmoothAndWithinItsRange) {
  float lowest = 1, highest = 0;
  for (int i = -500; i < 500; ++i) {
    const float x = static_cast<float>(i) * 0.05f;
    const float value = scenes::fractal_noise(x, -x, 3, 5);
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
    EXPECT_NEAR(scenes::noise(x, 0, 5), scenes::noise(x + 0.001f, 0, 5), 0.01);
  }
  EXPECT_GE(lowest, 0);
  EXPECT_LE(highest, 1);
  EXPECT_GT(highest - lowest, 0.4);
}

}  // namespace
}  // namespace millrace
