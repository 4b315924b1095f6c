// Every kind of odd or broken image, from the folder to the batch.

#include <ATen/core/Tensor.h>
#include <ATen/ops/isfinite.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "millrace/errors.hpp"
#include "models/data/image_samples.hpp"
#include "models/data/loader.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace millrace::testing;

Bytes part_of(const Bytes& whole, double share) {
  return {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(share * std::ssize(whole))};
}

Bytes inks() {
  return jpeg_bytes(make_image(40, 30, 4, [](int x, int y, int c) { return 20 * c + x + y; }),
                    {.inks = true});
}

/// A folder with one good image in class "a" and the asked one in class "b".
class Pictures : public ::testing::Test {
 protected:
  void SetUp() override { write_file(folder_ / "a/good.jpg", jpeg_bytes(gradient_image(50, 40))); }

  static LoaderSettings settings(bool training) {
    LoaderSettings result;
    result.batch = 2;
    result.training = training;
    return result;
  }

  static std::shared_ptr<const Samples> samples_in(std::shared_ptr<const Dataset> set, int channels,
                                                   int side) {
    const std::vector<float> half(static_cast<std::size_t>(channels), 0.5f);
    return std::make_shared<ImageSamples>(set, SampleFormat{channels, side, side, {half, half}});
  }

  std::shared_ptr<const Dataset> set_with(const std::string& name, const Bytes& bytes) const {
    write_file(folder_ / ("b/" + name), bytes);
    return open_data({folder_.path().string(), 0, 1, false}).train;
  }

  const ScratchFolder folder_;
};

struct Odd {
  std::string name;
  std::function<Bytes()> bytes;
};

class OddPicture : public Pictures, public ::testing::WithParamInterface<Odd> {};

TEST_P(OddPicture, IsASampleLikeAnyOther) {
  const auto set = set_with(GetParam().name, GetParam().bytes());
  for (const int channels : {1, 3}) {
    for (const int side : {32, 224}) {
      for (const bool training : {false, true}) {
        const Batch batch = *Loader(samples_in(set, channels, side), settings(training)).next();
        ASSERT_EQ(batch.inputs.sizes().vec(), (std::vector<std::int64_t>{2, channels, side, side}));
        EXPECT_TRUE(at::isfinite(batch.inputs).all().item<bool>());
        EXPECT_LE(batch.inputs.abs().max().item<float>(), 1.0001f);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, OddPicture,
    ::testing::Values(
        Odd{"grey.jpg", [] { return jpeg_bytes(gradient_image(40, 30, 1)); }},
        Odd{"grey.png", [] { return png_bytes(gradient_image(40, 30, 1)); }}, Odd{"inks.jpg", inks},
        Odd{"deep.png", [] { return png_bytes(gradient_image(40, 30), true); }},
        Odd{"alpha.png", [] { return png_with_alpha(gradient_image(40, 30, 4)); }},
        Odd{"progressive.jpg",
            [] { return jpeg_bytes(gradient_image(400, 300), {.progressive = true}); }},
        Odd{"dot.png", [] { return png_bytes(flat_image(1, 1, 1, 2, 3)); }},
        Odd{"dot.jpg", [] { return jpeg_bytes(flat_image(1, 1, 1, 2, 3)); }},
        Odd{"wide.jpg", [] { return jpeg_bytes(gradient_image(20'000, 7)); }},
        Odd{"tall.png", [] { return png_bytes(gradient_image(5, 20'000)); }},
        Odd{"misnamed.jpg", [] { return png_bytes(gradient_image(40, 30)); }}),
    [](const auto& each) {
      std::string name = each.param.name;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

struct Broken {
  std::string name;
  std::function<Bytes()> bytes;
  std::string reason;
};

class BrokenPicture : public Pictures, public ::testing::WithParamInterface<Broken> {};

TEST_P(BrokenPicture, IsNamedOrLeftOut) {
  const auto set = samples_in(set_with(GetParam().name, GetParam().bytes()), 3, 32);
  LoaderSettings asked = settings(false);
  EXPECT_THAT(message_of([&] { Loader(set, asked).next(); }),
              AllOf(HasSubstr(folder_ / ("b/" + GetParam().name)), HasSubstr(GetParam().reason),
                    HasSubstr("--skip-bad-images")));
  asked.skip_bad = true;
  Loader skipping(set, asked);
  EXPECT_EQ(skipping.next()->targets.size(0), 1);
  EXPECT_EQ(skipping.skipped(), 1);
  asked.training = true;
  Loader training(set, asked);
  const Batch batch = *training.next();
  EXPECT_EQ(batch.targets.size(0), 2);
  EXPECT_EQ(batch.targets.sum().item<std::int64_t>(), 0) << "both are the good one, of class a";
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, BrokenPicture,
    ::testing::Values(
        Broken{"empty.jpg", [] { return Bytes{}; }, "0 bytes"},
        Broken{"cut.jpg", [] { return part_of(jpeg_bytes(gradient_image(90, 90)), 0.6); },
               "cut short"},
        Broken{"cut.png", [] { return part_of(png_bytes(gradient_image(90, 90)), 0.6); },
               "cut short"},
        Broken{"text.png",
               [] {
                 return Bytes{'h', 'e', 'l', 'l', 'o'};
               },
               "neither JPEG nor PNG"},
        Broken{"header.jpg", [] { return part_of(jpeg_bytes(gradient_image(90, 90)), 0.02); },
               "cut short"}),
    [](const auto& each) {
      std::string name = each.param.name;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

}  // namespace
}  // namespace millrace
