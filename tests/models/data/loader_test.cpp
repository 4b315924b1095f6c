#include "models/data/loader.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <numeric>

#include "framework/affinity/affinity.hpp"
#include "models/data/image_samples.hpp"
#include "tests/models/data/fake_dataset.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using namespace millrace::testing;
using Set = std::shared_ptr<FakeDataset>;

LoaderSettings settings(std::int64_t batch, bool training = true) {
  LoaderSettings result;
  result.batch = batch;
  result.training = training;
  return result;
}

/// As a model reads them; in training with a border of `padding`.
std::shared_ptr<const Samples> samples_in(const Set& set, int padding = 0) {
  return std::make_shared<ImageSamples>(set, SampleFormat{1, 4, 4, {{0}, {1}}},
                                        Augmentation{CropKind::padded, 0, padding, true});
}

Set make_set(std::int64_t size, std::set<std::int64_t> broken = {}) {
  return std::make_shared<FakeDataset>(size, std::move(broken));
}

/// The samples of a batch, told by their grey levels; checks shapes and labels on the way.
std::vector<std::int64_t> samples_of(const Batch& batch) {
  std::vector<std::int64_t> result;
  const std::int64_t count = batch.targets.size(0);
  EXPECT_EQ(batch.inputs.sizes().vec(), (std::vector<std::int64_t>{count, 1, 4, 4}));
  for (std::int64_t row = 0; row < count; ++row) {
    const double level = batch.inputs[row][0][0][0].item<double>() * 255;
    result.push_back(std::llround(level));
    EXPECT_EQ(batch.targets[row].item<std::int64_t>(), result.back() % 3);
  }
  return result;
}

std::vector<std::int64_t> next_samples(Loader& loader) {
  const auto batch = loader.next();
  return batch ? samples_of(*batch) : std::vector<std::int64_t>{};
}

TEST(Loader, TriesAgainWhatFailedOnce) {
  const Set set = make_set(8);
  std::atomic<bool> failed = false;
  set->on_decode = [&](std::int64_t index) {
    if (index == 1 && !failed.exchange(true)) throw std::bad_alloc();
  };
  Loader loader(samples_in(set), settings(4, /*training=*/false));
  EXPECT_THROW(loader.next(), std::bad_alloc);
  loader.seek(0);
  EXPECT_THAT(next_samples(loader), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(next_samples(loader), ElementsAre(4, 5, 6, 7));
}

std::vector<std::int64_t> epoch_of(Loader& loader) {
  std::vector<std::int64_t> result;
  for (std::int64_t step = 0; step < loader.steps_per_epoch(); ++step) {
    const auto samples = next_samples(loader);
    result.insert(result.end(), samples.begin(), samples.end());
  }
  return result;
}

std::vector<std::int64_t> sorted(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<std::int64_t> up_to(std::int64_t count) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(count));
  std::iota(result.begin(), result.end(), 0);
  return result;
}

TEST(Loader, GivesEverySampleOnceAnEpochInAnotherOrder) {
  Loader loader(samples_in(make_set(50)), settings(8));
  const auto first = epoch_of(loader), second = epoch_of(loader);
  EXPECT_EQ(sorted(first), up_to(50));
  EXPECT_EQ(sorted(second), up_to(50));
  EXPECT_NE(first, up_to(50));
  EXPECT_NE(first, second);
}

TEST(Loader, OrderFollowsFromTheSeed) {
  LoaderSettings one = settings(8), other = settings(8);
  other.seed = 2;
  Loader a(samples_in(make_set(50)), one), b(samples_in(make_set(50)), one),
      c(samples_in(make_set(50)), other);
  const auto order = epoch_of(a);
  EXPECT_EQ(order, epoch_of(b));
  EXPECT_NE(order, epoch_of(c));
}

TEST(Loader, LastBatchOfAnEpochIsSmaller) {
  Loader loader(samples_in(make_set(10)), settings(4));
  EXPECT_EQ(loader.steps_per_epoch(), 3);
  EXPECT_EQ(next_samples(loader).size(), 4u);
  EXPECT_EQ(next_samples(loader).size(), 4u);
  EXPECT_EQ(next_samples(loader).size(), 2u);
  EXPECT_EQ(next_samples(loader).size(), 4u);
  EXPECT_EQ(loader.position(), 4);
}

TEST(Loader, BatchLargerThanTheSetIsTheSet) {
  Loader loader(samples_in(make_set(3)), settings(64));
  EXPECT_EQ(loader.steps_per_epoch(), 1);
  EXPECT_EQ(sorted(next_samples(loader)), up_to(3));
  EXPECT_EQ(sorted(next_samples(loader)), up_to(3));
}

class Threads : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(Threads, ChangeNothing) {
  LoaderSettings plain = settings(8), with = settings(8);
  plain.threads = 1;
  plain.look_ahead = 0;
  std::tie(with.threads, with.look_ahead) = GetParam();
  Loader a(samples_in(make_set(50)), plain), b(samples_in(make_set(50)), with);
  for (int step = 0; step < 15; ++step) {
    const Batch expected = *a.next(), found = *b.next();
    ASSERT_TRUE(at::equal(expected.inputs, found.inputs)) << step;
    ASSERT_TRUE(at::equal(expected.targets, found.targets)) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Counts, Threads,
                         ::testing::Values(std::pair{1, 3}, std::pair{2, 1}, std::pair{4, 20}));

TEST(Loader, SeekContinuesAnywhere) {
  const auto augmented = samples_in(make_set(50), 2);  // its draws must repeat, too
  Loader straight(augmented, settings(8)), jumping(augmented, settings(8));
  std::vector<Batch> batches;
  for (int step = 0; step < 20; ++step) batches.push_back(*straight.next());
  for (const std::int64_t step : {19, 3, 4, 0, 7, 7, 13}) {
    jumping.seek(step);
    EXPECT_EQ(jumping.position(), step);
    const Batch found = *jumping.next();
    EXPECT_TRUE(at::equal(batches[static_cast<std::size_t>(step)].inputs, found.inputs)) << step;
    EXPECT_EQ(jumping.position(), step + 1);
  }
  EXPECT_THROW(jumping.seek(-1), ConfigError);
}

TEST(Loader, AugmentationDiffersBetweenEpochs) {
  Loader loader(samples_in(make_set(2), 3), settings(2));
  std::set<double> sums;  // the black border takes another part of the image each time
  for (int epoch = 0; epoch < 40; ++epoch) sums.insert(loader.next()->inputs.sum().item<double>());
  EXPECT_GT(sums.size(), 4u);
}

TEST(Loader, ValidationIsInOrderOnceAndCanBeRepeated) {
  Loader loader(samples_in(make_set(10)), settings(4, /*training=*/false));
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_THAT(next_samples(loader), ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(next_samples(loader), ElementsAre(4, 5, 6, 7));
    EXPECT_THAT(next_samples(loader), ElementsAre(8, 9));
    EXPECT_FALSE(loader.next());
    EXPECT_FALSE(loader.next());
    loader.seek(0);
  }
}

TEST(Loader, DecodesNoFurtherAheadThanAsked) {
  for (const int look_ahead : {0, 1, 3}) {
    LoaderSettings bounded = settings(4);
    bounded.look_ahead = look_ahead;
    const Set set = make_set(40);
    Loader loader(samples_in(set), bounded);
    for (int step = 0; step < 5; ++step) {
      EXPECT_LE(set->begun(), 4 * (step + look_ahead));
      next_samples(loader);
      EXPECT_GE(set->begun(), 4 * (step + 1));
    }
  }
}

TEST(Loader, ReadsTheNextBatchAhead) {
  for (const int look_ahead : {0, 2}) {
    LoaderSettings ahead = settings(4, /*training=*/false);
    ahead.look_ahead = look_ahead;
    const Set set = make_set(20);
    const std::int64_t first = 4 * look_ahead;
    { const Loader loader(samples_in(set), ahead); }  // has ended what it began
    EXPECT_THAT(set->needed(), ElementsAre(first, first + 1, first + 2, first + 3));
    {
      Loader loader(samples_in(set), ahead);
      next_samples(loader);
      loader.seek(0);
    }
    EXPECT_THAT(set->needed(), IsSupersetOf({first + 4, first + 7}));
    EXPECT_EQ(std::ranges::count(set->needed(), first), 3);  // made twice, sought once
  }
}

TEST(Loader, CountsItsWaits) {
  Loader loader(samples_in(make_set(40)), settings(4));
  for (int step = 0; step < 10; ++step) next_samples(loader);
  EXPECT_GE(loader.waits(), 0);
  EXPECT_LE(loader.waits(), 10);
  EXPECT_EQ(loader.waits() == 0, loader.wait_ns() == 0);
}

TEST(Loader, StopsWhileItDecodes) {
  for (int round = 0; round < 30; ++round) {
    LoaderSettings many = settings(8);
    many.look_ahead = 4;
    const Set set = make_set(64);
    {
      Loader loader(samples_in(set), many);
      if (round % 3 == 1) next_samples(loader);
      if (round % 3 == 2) loader.seek(5);
    }
    const auto begun = set->begun();
    EXPECT_EQ(set.use_count(), 1) << "nothing refers to the set any more";
    EXPECT_EQ(set->begun(), begun);
  }
}

TEST(BrokenImage, ReachesNextAndStaysThere) {
  Loader loader(samples_in(make_set(10, {5})), settings(4, false));
  EXPECT_EQ(next_samples(loader).size(), 4u);
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_THAT(message_of([&] { loader.next(); }), HasSubstr("sample 5 is broken"));
  }
  EXPECT_EQ(loader.position(), 1);
  loader.seek(2);
  EXPECT_THAT(next_samples(loader), ElementsAre(8, 9));
}

TEST(BrokenImage, FirstOfTheBatchIsNamed) {
  for (int round = 0; round < 20; ++round) {
    LoaderSettings wide = settings(8, false);
    wide.threads = 4;
    Loader loader(samples_in(make_set(8, {2, 3, 6})), wide);
    EXPECT_THAT(message_of([&] { loader.next(); }), HasSubstr("sample 2 "));
  }
}

TEST(BrokenImage, OtherFailuresAreNeverLeftOut) {
  for (const bool training : {true, false}) {
    const Set set = make_set(8);
    set->on_decode = [](std::int64_t) { throw std::bad_alloc(); };
    LoaderSettings skipping = settings(4, training);
    skipping.skip_bad = true;
    Loader loader(samples_in(set), skipping);
    EXPECT_THROW(loader.next(), std::bad_alloc);
  }
}

TEST(BrokenImage, IsReplacedByTheNextInTraining) {
  LoaderSettings skipping = settings(4);
  skipping.skip_bad = true;
  Loader loader(samples_in(make_set(10, {4, 5, 9})), skipping);
  for (int epoch = 0; epoch < 3; ++epoch) {
    EXPECT_THAT(sorted(epoch_of(loader)), ElementsAre(0, 0, 1, 2, 3, 6, 6, 6, 7, 8));
  }
  EXPECT_EQ(loader.skipped(), 3) << "each counts once, however often it is met";
}

TEST(BrokenImage, CountsOnceOverLoadersOfTheSet) {
  LoaderSettings skipping = settings(4);
  skipping.skip_bad = true;
  const Set set = make_set(10, {4, 9});
  Loader first(samples_in(set), skipping);
  const auto samples = epoch_of(first);
  EXPECT_THAT(first.broken(), ElementsAre(4, 9));
  EXPECT_EQ(first.position(), 3);
  EXPECT_EQ(epoch_of(first).size(), samples.size()) << "it goes on";
  skipping.known_broken = first.broken();
  Loader second(samples_in(set), skipping);
  EXPECT_EQ(epoch_of(second), samples);
  EXPECT_EQ(second.skipped(), 2);
}

TEST(BrokenImage, IsLeftOutOfValidation) {
  LoaderSettings skipping = settings(2, false);
  skipping.skip_bad = true;
  Loader loader(samples_in(make_set(8, {1, 4, 5, 7})), skipping);
  EXPECT_THAT(next_samples(loader), ElementsAre(0));
  EXPECT_THAT(next_samples(loader), ElementsAre(2, 3));
  EXPECT_THAT(next_samples(loader), ElementsAre(6)) << "the batch of 4 and 5 is passed over";
  EXPECT_FALSE(loader.next());
  EXPECT_EQ(loader.skipped(), 4);
}

TEST(BrokenImage, AllOfThemAreAnErrorInTraining) {
  LoaderSettings skipping = settings(2);
  skipping.skip_bad = true;
  Loader loader(samples_in(make_set(3, {0, 1, 2})), skipping);
  EXPECT_THAT(message_of([&] { loader.next(); }), HasSubstr("is broken"));
}

TEST(Loader, RefusesSettingsOutOfRange) {
  const auto refusal = [](const std::function<void(LoaderSettings&)>& change,
                          std::int64_t size = 4) {
    LoaderSettings changed = settings(4);
    change(changed);
    return message_of([&] { Loader(samples_in(make_set(size)), changed); });
  };
  EXPECT_THAT(refusal([](auto& s) { s.batch = 0; }), HasSubstr("batch 0"));
  EXPECT_THAT(refusal([](auto& s) { s.look_ahead = -1; }), HasSubstr("look-ahead -1"));
  EXPECT_THAT(refusal([](auto& s) { s.threads = -1; }), HasSubstr("threads -1"));
  EXPECT_THAT(refusal([](auto&) {}, 0), HasSubstr("empty"));
}

TEST(LoaderCost, IsMeasuredOnGoodSamples) {
  EXPECT_GT(ns_per_sample(*samples_in(make_set(10)), 1), 0);
  EXPECT_GT(ns_per_sample(*samples_in(make_set(4, {0, 1, 2})), 1, 100), 0);
  EXPECT_THROW(ns_per_sample(*samples_in(make_set(3, {0, 1, 2})), 1), ConfigError);
  EXPECT_THROW(ns_per_sample(*samples_in(make_set(0)), 1), ConfigError);
}

TEST(LoadImage, IsWhatValidationSees) {
  const ScratchFolder folder;
  for (const char* name : {"a/0.jpg", "b/0.jpg"}) {
    write_file(folder / name, jpeg_bytes(gradient_image(500, 375)));
  }
  const auto set = open_data({folder.path().string(), 0, 1, false}).train;
  const SampleFormat format = sample_format({3, 224, 224}, normalisation_of(*set, 3));
  Loader loader(std::make_shared<ImageSamples>(set, format), settings(1, /*training=*/false));
  const at::Tensor image = load_image(folder / "a/0.jpg", format);
  EXPECT_EQ(image.sizes().vec(), (std::vector<std::int64_t>{1, 3, 224, 224}));
  EXPECT_TRUE(at::equal(image, loader.next()->inputs));
  EXPECT_THROW(load_image(folder / "missing.jpg", format), ConfigError);
}

TEST(Loader, DecodesOnTheCpusThatItIsGiven) {
  const std::vector<int> allowed = {this_thread_cpus().back()};
  const Set set = make_set(20);
  std::mutex mutex;
  std::set<std::vector<int>> seen;
  set->on_decode = [&](std::int64_t) {
    const std::scoped_lock lock(mutex);
    seen.insert(this_thread_cpus());
  };
  LoaderSettings bound = settings(10);
  bound.cpus = allowed;
  Loader loader(samples_in(set), bound);
  loader.next();
  loader.next();
  const std::scoped_lock lock(mutex);
  EXPECT_THAT(seen, ElementsAre(allowed));
}

TEST(DefaultAugmentation, FitsSizeAndSet) {
  const FakeDataset set(4);
  const auto photo = default_augmentation(set, {3, 224, 224, {}});
  EXPECT_EQ(photo.crop, CropKind::resized);
  EXPECT_TRUE(photo.mirror);
  const auto small = default_augmentation(set, {3, 32, 32, {}});
  EXPECT_EQ(small.crop, CropKind::padded);
  EXPECT_EQ(small.padding, 4);
}

}  // namespace
}  // namespace millrace
