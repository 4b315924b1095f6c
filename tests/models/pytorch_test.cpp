// State dicts of torch.save: files that PyTorch wrote (reference/make.py), damaged ones, ours.

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "models/pytorch/pickle.hpp"
#include "models/weights.hpp"
#include "models/weights_file.hpp"
#include "models/zoo/zoo.hpp"
#include "tests/models/data/image_files.hpp"
#include "tests/models/named_numbers.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string reference(const std::string& name) {
  return std::filesystem::path(MILLRACE_TEST_SOURCES) / "reference" / name;
}

at::Tensor tensor_of(const WeightsFile& file, const std::string& name) {
  const auto* entry = file.find(name);
  if (entry == nullptr) return {};
  const at::Tensor values = at::empty(entry->shape);
  file.read(*entry, values);
  return values;
}

TEST(StateDict, HasTheTensorsThatPyTorchSaved) {
  const auto file = WeightsFile::open(reference("checkpoint.pt"));
  const auto expect = [&](const std::string& name, const std::string& dtype,
                          const at::Tensor& expected) {
    SCOPED_TRACE(name);
    ASSERT_NE(file->find(name), nullptr);
    EXPECT_EQ(file->find(name)->dtype, dtype);
    EXPECT_TRUE(at::equal(tensor_of(*file, name), expected.to(at::kFloat)));
  };
  expect("plain", "F32", weights("plain", {3, 4}));
  expect("double", "F64", weights("double", {2, 3}));
  expect("half", "F16", weights("half", {5}).to(at::kHalf));
  expect("bfloat", "BF16", weights("bfloat", {5}).to(at::kBFloat16));
  expect("transposed", "F32", weights("transposed", {4, 3}).t());
  expect("rows", "F32", weights("shared", {6, 4}).narrow(0, 2, 2));
  expect("parameter", "F32", weights("parameter", {7}));
  expect("number", "F32", at::scalar_tensor(2.5));
  EXPECT_EQ(file->find("norm.num_batches_tracked")->dtype, "I64");
  EXPECT_EQ(file->entries().size(), 9U);
}

std::string refusal(const std::string& path) {
  return message_of([&] { WeightsFile::open(path); });
}

TEST(StateDict, WhatHoldsNoWeightsIsNamed) {
  const ScratchFolder folder;
  EXPECT_THAT(refusal(folder / ""), HasSubstr("is a folder"));
  EXPECT_THAT(message_of([] { Pickle(std::string("\x80\x02)\x81."), "whole.pt"); }),
              AllOf(HasSubstr("whole.pt"), HasSubstr("not the model")));
}

TEST(StateDict, OthersAreRefused) {
  EXPECT_THAT(refusal(reference("tensor.pt")),
              AllOf(HasSubstr("tensor.pt"), HasSubstr("no dict of tensors")));
  const ScratchFolder folder;
  const std::string file = folder / "old.pt";
  write_file_atomically(file, "\x80\x02\x8a\nl\xfc\x9c", "test");
  EXPECT_THAT(refusal(file), HasSubstr("before 1.6"));
  write_file_atomically(file, "PK\x03\x04 and no more", "test");
  EXPECT_THAT(refusal(file), AllOf(HasSubstr(file), HasSubstr("torch.save")));
}

/// A value that is a parameter of itself ends in an error.
TEST(StateDict, CirclesEnd) {
  const std::string call = std::string("ctorch._utils\n_rebuild_parameter\n") + "]q\x01R";
  const std::string name = std::string("X\x01\0\0\0", 5) + "a";
  const std::string pickle = "\x80\x02}" + name + call + "q\x02h\x01h\x02" + "a0s.";
  const ScratchFolder folder;
  const std::string file = folder / "circle.pt";
  {
    caffe2::serialize::PyTorchStreamWriter writer(file);
    writer.writeRecord("data.pkl", pickle.data(), pickle.size());
    writer.writeEndOfFile();
  }
  EXPECT_THAT(refusal(file), HasSubstr("'a' is no dense tensor"));
}

/// Whatever is in the file: tensors, or an error that says so.
void open_and_read(const std::string& path) {
  try {
    const auto file = WeightsFile::open(path);
    for (const auto& entry : file->entries()) {
      if (entry.dtype.front() != 'F') continue;
      if (c10::multiply_integers(entry.shape) < 1'000'000) tensor_of(*file, entry.name);
    }
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path));
  }
}

TEST(StateDict, DamagedFilesAreNeverTrusted) {
  const std::string whole = read_file(reference("checkpoint.pt"), "test");
  const ScratchFolder folder;
  const std::string path = folder / "damaged.pt";
  std::mt19937 random(5);
  const auto any = [&](std::size_t below) { return random() % below; };
  for (int round = 0; round < 400; ++round) {
    std::string damaged = whole.substr(0, round % 4 == 0 ? any(whole.size()) : whole.size());
    for (std::size_t change = any(6); change > 0 && !damaged.empty(); --change)
      damaged[any(damaged.size())] = static_cast<char>(random());
    write_file_atomically(path, damaged, "test");
    open_and_read(path);
  }
}

TEST(Pickle, DamagedOnesEndInAnError) {
  const std::string whole = [] {
    const std::string file = read_file(reference("checkpoint.pt"), "test");
    const std::size_t begin = file.find("\x80\x02}");
    return file.substr(begin, file.find("PK", begin) - begin);
  }();
  EXPECT_EQ(Pickle(whole, "it").root().kind, PickledValue::Kind::dict);
  std::mt19937 random(6);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = whole.substr(0, 1 + random() % whole.size());
    for (int change = 0; change < 3; ++change)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    try {
      Pickle(damaged, "it");
    } catch (const ConfigError& error) {
      ASSERT_THAT(error.what(), HasSubstr("[weights] it: "));
    }
  }
}

TEST(StateDict, WhatWeSaveComesBack) {
  const ScratchFolder folder;
  for (const char* name : {"weights.pt", "weights.pth", "weights.safetensors"}) {
    const Model from = make_model("resnet20", 10, 1), to = make_model("resnet20", 10, 2);
    for (auto& [buffer, value] : named_buffers(from)) value.add_(0.5);
    const std::string file = folder / name;
    save_weights(from, file);
    load_weights(to, file);
    const auto expected = weights_of(from), actual = weights_of(to);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(std::memcmp(expected[i].data, actual[i].data, std::size_t(expected[i].bytes)), 0)
          << name << " " << expected[i].name;
    const std::string once = read_file(file, "test");
    save_weights(from, file);
    EXPECT_EQ(read_file(file, "test"), once) << "the same bytes";
  }
  EXPECT_THAT(message_of([&] { save_weights(make_model("mlp", 10), "weights.onnx2"); }),
              AllOf(HasSubstr("weights.onnx2"), HasSubstr(".pth or .onnx")));
}

}  // namespace
}  // namespace millrace
