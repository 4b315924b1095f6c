// ONNX networks whose values are in other files: what is read of them, what is refused, and what a
// run keeps.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "models/onnx/export.hpp"
#include "models/onnx/import.hpp"
#include "models/onnx/kept_files.hpp"
#include "models/weights.hpp"
#include "models/zoo/zoo.hpp"
#include "tests/models/data/image_files.hpp"
#include "tests/models/onnx_external.hpp"
#include "tests/models/onnx_graph.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

constexpr int kDamagedNetworks = 1000;

void expect_same_weights(const Model& model, const Model& other) {
  const auto some = named_parameters(model), others = named_parameters(other);
  ASSERT_EQ(some.size(), others.size());
  for (std::size_t i = 0; i < some.size(); ++i) {
    EXPECT_EQ(some[i].first, others[i].first);
    EXPECT_TRUE(at::equal(some[i].second, others[i].second)) << some[i].first;
  }
}

/// One layer whose weight, 4 x 4 numbers of 0.5, is in another file of the same folder.
struct DataCase {
  ScratchFolder folder;
  GraphFile graph{{4}};

  DataCase() {
    graph.constant("w", {4, 4});
    weight().clear_float_data();
    graph.node("Gemm", {"x", "w"}, "y");
    write("w.bin", 16);
  }
  onnx::TensorProto& weight() { return *graph.graph().mutable_initializer(0); }
  void write(const std::string& name, std::size_t count) const {
    const std::vector<float> values(count, 0.5f);
    write_file_atomically(folder / name,
                          {reinterpret_cast<const char*>(values.data()), count * sizeof(float)},
                          "test");
  }
  Model model(const std::string& location, const std::string& offset, const std::string& length) {
    set_external(weight(), location, offset, length);
    write_file_atomically(folder / "own.onnx", graph.proto.SerializeAsString(), "test");
    return import_onnx(folder / "own.onnx");
  }
  std::string refusal(const std::string& location, const std::string& offset = "",
                      const std::string& length = "") {
    return message_of([&] { model(location, offset, length); });
  }
};

TEST(OnnxData, BesideTheNetworkIsTheSameNetwork) {
  const ScratchFolder folder;
  const Model model = make_model("resnet20", 10);
  export_onnx(model, folder / "net.onnx");
  move_values_out(folder / "net.onnx");
  EXPECT_LT(fs::file_size(folder / "net.onnx"), 50'000u);
  expect_same_weights(model, import_onnx(folder / "net.onnx"));
  EXPECT_EQ(onnx_sample_shape(folder / "net.onnx"), model.sample_shape);
}

TEST(OnnxData, IsFoundBelowTheFolderAndReachesToTheEnd) {
  DataCase one;
  EXPECT_EQ(one.refusal("w.bin"), "");
  EXPECT_EQ(one.refusal("./w.bin", "0", "64"), "");
  one.write("longer.bin", 20);
  EXPECT_EQ(one.refusal("longer.bin", "16"), "");
  EXPECT_EQ(one.refusal("longer.bin", "8", "64"), "");
  fs::create_directory(one.folder / "sub");
  one.write("sub/w", 16);
  const Model model = one.model("sub/w", "", "");
  EXPECT_TRUE(at::equal(named_parameters(model)[0].second, at::full({4, 4}, 0.5)));
}

TEST(OnnxData, OutsideTheFolderIsRefused) {
  DataCase one;
  one.write("elsewhere", 16);
  for (const std::string& location :
       {std::string(), std::string("../w.bin"), std::string("sub/../w.bin"), std::string("/etc"),
        one.folder / "w.bin", std::string("sub/"), std::string("..")})
    EXPECT_THAT(one.refusal(location),
                AllOf(HasSubstr("own.onnx: the values of 'w'"),
                      HasSubstr("'" + location + "', which is no path below the model's folder")));
  fs::create_symlink("elsewhere", one.folder / "link");
  EXPECT_THAT(one.refusal("link"), HasSubstr("link, which cannot be read (a symbolic link"));
  fs::create_directory_symlink(".", one.folder / "folder");
  EXPECT_THAT(one.refusal("folder/w.bin"), HasSubstr("a symbolic link"));
}

TEST(OnnxData, ThatIsNoFileIsRefusedAtOnce) {
  DataCase one;
  EXPECT_THAT(one.refusal("none.bin"),
              AllOf(HasSubstr("own.onnx: the values of 'w' are in"), HasSubstr("none.bin"),
                    HasSubstr("No such file"), HasSubstr("external_data=False")));
  EXPECT_THAT(one.refusal("w.bin/w"), HasSubstr("Not a directory"));
  fs::create_directory(one.folder / "sub");
  EXPECT_THAT(one.refusal("sub"),
              AllOf(HasSubstr("own.onnx: the values of 'w'"), HasSubstr("sub, which is a folder")));
  ASSERT_EQ(::mkfifo((one.folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(one.refusal("pipe"), HasSubstr("pipe, which is a pipe or a device"));
  fs::rename(one.folder / "pipe", one.folder / "pipe.onnx");
  EXPECT_THAT(message_of([&] { import_onnx(one.folder / "pipe.onnx"); }),
              HasSubstr("pipe.onnx is a pipe or a device, a file is needed"));
  EXPECT_THAT(message_of([&] { import_onnx(one.folder / "sub"); }), HasSubstr("is a folder"));
}

TEST(OnnxData, RangesAreWithinTheFile) {
  DataCase one;
  for (const char* offset : {"65", "-1", "x", "4 ", "99999999999999999999"})
    EXPECT_THAT(one.refusal("w.bin", offset),
                AllOf(HasSubstr("own.onnx: the values of 'w' begin at byte '" +
                                std::string(offset) + "' of "),
                      HasSubstr("w.bin, which has 64")));
  for (const char* length : {"65", "-64", "9223372036854775807", "0x40"})
    EXPECT_THAT(one.refusal("w.bin", "", length),
                HasSubstr("are '" + std::string(length) + "' bytes from byte 0 of "));
  EXPECT_THAT(one.refusal("w.bin", "4", "64"), HasSubstr("'64' bytes from byte 4 of "));
}

TEST(OnnxData, HasAsManyNumbersAsTheShape) {
  DataCase one;
  for (const char* length : {"60", "63", "0"})
    EXPECT_THAT(one.refusal("w.bin", "", length),
                AllOf(HasSubstr("'w' has "), HasSubstr("w.bin, its shape needs 16")));
  EXPECT_THAT(one.refusal("w.bin", "32"), HasSubstr("has 8 values in"));
  one.write("longer.bin", 20);
  EXPECT_THAT(one.refusal("longer.bin"), HasSubstr("has 20 values in"));
  one.weight().set_dims(0, std::int64_t{1} << 61);
  EXPECT_THAT(one.refusal("w.bin"), HasSubstr("has an extent of"));
}

TEST(OnnxData, ThatNobodyReadsMayBeMissing) {
  DataCase one;
  one.graph.graph().mutable_node(0)->set_op_type("Relu");
  one.graph.graph().mutable_node(0)->mutable_input()->RemoveLast();
  EXPECT_EQ(one.refusal("none.bin"), "");
}

TEST(OnnxData, DamagedIsAnErrorOfTheUserOrANetwork) {
  const ScratchFolder folder;
  export_onnx(make_model("lenet5", 10), folder / "net.onnx");
  move_values_out(folder / "net.onnx");
  const std::string whole = read_file(folder / "net.onnx", "test");
  std::mt19937 random(3);
  int errors = 0;
  for (int round = 0; round < kDamagedNetworks; ++round) {
    std::string bytes = whole;
    for (int n = 1 + int(random() % 3); n > 0; --n)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    std::ofstream(folder / "net.onnx", std::ios::binary) << bytes;
    try {
      import_onnx(folder / "net.onnx");
    } catch (const ConfigError&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, kDamagedNetworks / 4);
}

TEST(OnnxFiles, AreKeptThoughTheyAreRemovedMeanwhile) {
  const ScratchFolder folder;
  const Model model = make_model("lenet5", 10);
  fs::create_directory(folder / "run");
  for (const bool outside : {false, true}) {
    export_onnx(model, folder / "net.onnx");
    if (outside) move_values_out(folder / "net.onnx");
    const OnnxFiles files(folder / "net.onnx");
    fs::remove(folder / "net.onnx");
    fs::remove(folder / "net.onnx.data");
    files.write(folder / "run/net.onnx");
    expect_same_weights(model, import_onnx(folder / "run/net.onnx"));
    EXPECT_EQ(fs::exists(folder / "run/net.onnx.data"), outside);
  }
}

TEST(OnnxFiles, OfSeveralBecomeOneOfData) {
  DataCase one;
  one.graph.constant("v", {4, 4});
  onnx::TensorProto& second = *one.graph.graph().mutable_initializer(1);
  second.clear_float_data();
  set_external(second, "v.bin", "16", "");
  one.graph.graph().mutable_node(0)->set_output(0, "h");
  one.graph.node("Gemm", {"h", "v"}, "y");
  one.write("v.bin", 20);
  const Model model = one.model("w.bin", "", "");
  fs::create_directory(one.folder / "run");
  OnnxFiles(one.folder / "own.onnx").write(one.folder / "run/kept.onnx");
  EXPECT_EQ(fs::file_size(one.folder / "run/kept.onnx.data"), 128u);
  expect_same_weights(model, import_onnx(one.folder / "run/kept.onnx"));
}

TEST(OnnxFiles, NeedNoDataThatNoNodeReads) {
  DataCase one;
  one.graph.constant("unread", {4, 4});
  onnx::TensorProto& second = *one.graph.graph().mutable_initializer(1);
  second.clear_float_data();
  set_external(second, "gone.bin", "", "");
  one.graph.graph().add_input()->set_name("unread");  // as before IR version 4
  const Model model = one.model("w.bin", "", "");
  fs::create_directory(one.folder / "run");
  OnnxFiles(one.folder / "own.onnx").write(one.folder / "run/kept.onnx");
  EXPECT_EQ(fs::file_size(one.folder / "run/kept.onnx.data"), 64u);
  expect_same_weights(model, import_onnx(one.folder / "run/kept.onnx"));
}

TEST(OnnxFiles, AreLeftAloneWhereTheyAreKeptAlready) {
  DataCase one;
  one.model("w.bin", "", "");
  const std::string before = read_file(one.folder / "own.onnx", "test");
  OnnxFiles(one.folder / "own.onnx").write(one.folder / "own.onnx");
  EXPECT_EQ(read_file(one.folder / "own.onnx", "test"), before);
  EXPECT_FALSE(fs::exists(one.folder / "own.onnx.data"));
}

}  // namespace
}  // namespace millrace
