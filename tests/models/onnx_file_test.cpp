// ONNX files as a whole: damaged ones, and a file as the source of a model.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <fstream>
#include <random>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/joins.hpp"
#include "models/onnx/export.hpp"
#include "models/onnx/import.hpp"
#include "models/source.hpp"
#include "models/zoo/zoo.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kDamagedFiles = 3000;

/// Small, and of every operator that is exported.
std::string small_file() {
  const ScratchFolder folder;
  Model model{.name = "own", .sample_shape = {2, 8, 8}, .classes = 3};
  model.add("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 2, 3).padding(1)))
      .add("bn", torch::nn::BatchNorm2d(2))
      .add("relu", torch::nn::ReLU6())
      .add("sum", Add(), {"relu", "conv"})
      .add("both", Concat(), {"sum", "relu"})
      .add("pool", torch::nn::MaxPool2d(2))
      .add("mean", torch::nn::AvgPool2d(2))
      .add("flatten", torch::nn::Flatten())
      .add("drop", torch::nn::Dropout())
      .add("fc", torch::nn::Linear(16, 3));
  export_onnx(model, folder / "net.onnx");
  return read_file(folder / "net.onnx", "test");
}

TEST(ImportOnnx, DamagedFilesAreErrorsOfTheUserOrNetworks) {
  const std::string whole = small_file();
  const ScratchFolder folder;
  std::mt19937 random(11);
  int errors = 0, networks = 0;
  for (int round = 0; round < kDamagedFiles; ++round) {
    std::string bytes = whole;
    for (int n = 1 + int(random() % 4); n > 0; --n) {
      const std::size_t at = random() % bytes.size();
      if (random() % 8 == 0)
        bytes.erase(at, random() % 16);
      else
        bytes[at] =
            static_cast<char>(random() % 4 == 0 ? random() : bytes[at] ^ (1 << random() % 8));
    }
    std::ofstream(folder / "net.onnx", std::ios::binary) << bytes;
    try {
      import_onnx(folder / "net.onnx");
      ++networks;
    } catch (const ConfigError&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 100);
  EXPECT_GT(networks, 100);
}

TEST(OpenModel, AHeadThatIsAConvolutionKeepsItsForm) {
  const ScratchFolder folder;
  Model model{.name = "own", .sample_shape = {2, 8, 8}, .classes = 4};
  model.add("head", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 4, 3).dilation(2).groups(2)))
      .add("pool", torch::nn::AdaptiveAvgPool2d(1))
      .add("flatten", torch::nn::Flatten());
  export_onnx(model, folder / "net.onnx");
  EXPECT_EQ(open_model(folder / "net.onnx", 4, 1, NewHead::where_needed).classes, 4);
  const Model fresh = open_model(folder / "net.onnx", 6, 1, NewHead::where_needed);
  const auto& options = fresh.layers[0].module.ptr()->as<torch::nn::Conv2dImpl>()->options;
  EXPECT_EQ(options.dilation()->at(0), 2);
  EXPECT_EQ(options.groups(), 2);
  EXPECT_THAT(message_of([&] { open_model(folder / "net.onnx", 5, 1, NewHead::always); }),
              HasSubstr("no new head with that many outputs"));
}

TEST(OpenModel, AFilesHead) {
  const ScratchFolder folder;
  export_onnx(make_model("mlp", 10), folder / "net.onnx");
  const std::string file = folder / "net.onnx";
  EXPECT_EQ(sample_shape_of(file), (std::vector<std::int64_t>{1, 28, 28}));
  EXPECT_EQ(open_model(file, 0).classes, 10);
  EXPECT_THAT(message_of([&] { open_model(file, 7); }),
              AllOf(HasSubstr("has 10 outputs, the data have 7 classes"), HasSubstr("--new-head")));
  const Model fresh = open_model(file, 7, 3, NewHead::always),
              again = open_model(file, 7, 3, NewHead::always);
  EXPECT_EQ(check_model(fresh).back().output_shape, (std::vector<std::int64_t>{7}));
  const auto a = named_parameters(fresh), b = named_parameters(again);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i].second, b[i].second));
}

}  // namespace
}  // namespace millrace
