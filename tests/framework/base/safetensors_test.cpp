#include "millrace/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TensorView view(const std::string& name, const std::vector<float>& values,
                std::vector<std::int64_t> shape) {
  return {name, "F32", std::move(shape), values.data(),
          static_cast<std::int64_t>(values.size() * sizeof(float))};
}

class SafetensorsTest : public testing::Test {
 protected:
  SafetensorsTest() {
    std::string pattern = (fs::temp_directory_path() / "millrace-tensors.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    std::iota(values_.begin(), values_.end(), 0.5f);
    path_ = folder_ / "x.safetensors";
  }
  ~SafetensorsTest() override { fs::remove_all(folder_); }

  void write_raw(const std::string& content) const {
    write_file_atomically(path_, content, "test");
  }
  /// A file of this header text and data, with the right length before them.
  void write_parts(const std::string& header, const std::string& data) const {
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
    write_raw(length + header + data);
  }
  std::string error_of_open() const {
    try {
      SafetensorsFile::open(path_);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }

  fs::path folder_, path_;
  std::vector<float> values_ = std::vector<float>(6);
};

TEST_F(SafetensorsTest, WritesAndReadsBack) {
  const std::vector<std::int64_t> labels = {3, -4};
  const std::vector<unsigned char> bytes = {1, 2, 3};
  write_safetensors(path_,
                    {view("b.weight", values_, {2, 3}),
                     {"bytes", "U8", {3}, bytes.data(), 3},
                     {"a.labels", "I64", {2}, labels.data(), 16},
                     view("empty", {}, {0, 5}),
                     view("scalar", {values_[1]}, {})},
                    {{"step", "12"}, {"note", "quote \" and ü"}});
  const auto file = SafetensorsFile::open(path_);
  EXPECT_THAT(file.metadata(), testing::ElementsAre(testing::Pair("note", "quote \" and ü"),
                                                    testing::Pair("step", "12")));
  ASSERT_EQ(file.entries().size(), 5u);
  EXPECT_EQ(file.entries().front().name, "a.labels");
  const auto* weight = file.find("b.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->shape, (std::vector<std::int64_t>{2, 3}));
  std::vector<float> read(6);
  file.read(*weight, read.data());
  EXPECT_EQ(read, values_);
  std::vector<std::int64_t> read_labels(2);
  file.read(*file.find("a.labels"), read_labels.data());
  EXPECT_EQ(read_labels, labels);
  float part = 0;
  file.read_part(*weight, 8, 4, &part);
  EXPECT_EQ(part, values_[2]);
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_THROW(file.read_part(*weight, 24, 4, &part), InternalError);
}

TEST_F(SafetensorsTest, TheSameContentGivesTheSameBytesInAnyOrder) {
  const std::vector<unsigned char> odd = {9};
  const TensorView a = view("a", values_, {6}), b = view("b", values_, {3, 2});
  const TensorView c{"c", "U8", {1}, odd.data(), 1};
  write_safetensors(path_, {c, a, b}, {{"k", "1"}, {"j", "2"}});
  const std::string first = read_file(path_, "test");
  write_safetensors(path_, {b, c, a}, {{"j", "2"}, {"k", "1"}});
  EXPECT_EQ(read_file(path_, "test"), first);
}

TEST_F(SafetensorsTest, EveryTensorIsAlignedToItsElements) {
  const std::vector<unsigned char> odd = {1, 2, 3};
  const double wide = 1.5;
  write_safetensors(
      path_,
      {{"a", "U8", {3}, odd.data(), 3}, view("b", values_, {6}), {"c", "F64", {1}, &wide, 8}}, {});
  const auto file = SafetensorsFile::open(path_);
  const auto data_begin = static_cast<std::int64_t>(fs::file_size(path_)) - (3 + 24 + 8);
  EXPECT_EQ(data_begin % 8, 0);
  EXPECT_EQ(file.find("b")->begin % 4, 0);
  EXPECT_EQ(file.find("c")->begin % 8, 0);
}

TEST_F(SafetensorsTest, NoTensorsAndNoMetadataIsAFileToo) {
  write_safetensors(path_, {}, {});
  const auto file = SafetensorsFile::open(path_);
  EXPECT_TRUE(file.entries().empty());
  EXPECT_TRUE(file.metadata().empty());
}

TEST_F(SafetensorsTest, CutShortAnywhereIsRefused) {
  write_safetensors(path_, {view("w", values_, {6}), view("v", values_, {2, 3})}, {{"step", "1"}});
  const std::string whole = read_file(path_, "test");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_raw(whole.substr(0, length));
    EXPECT_THAT(error_of_open(), HasSubstr("[safetensors] " + path_.string())) << length;
  }
  write_raw(whole + "x");
  EXPECT_THAT(error_of_open(), HasSubstr("something was appended"));
}

TEST_F(SafetensorsTest, AnyDamagedHeaderByteIsRefusedOrReadsAsAnotherHeader) {
  write_safetensors(path_, {view("w", values_, {6})}, {{"step", "1"}});
  const std::string whole = read_file(path_, "test");
  for (std::size_t place = 0; place + 24 < whole.size(); ++place) {
    for (const int flip : {1, 2, 32, 128}) {
      std::string damaged = whole;
      damaged[place] = static_cast<char>(damaged[place] ^ flip);
      write_raw(damaged);
      // Names and texts may change unseen (checkpoints carry a checksum); sizes may not.
      if (!error_of_open().empty()) continue;
      const auto file = SafetensorsFile::open(path_);
      for (const auto& entry : file.entries()) EXPECT_LE(entry.begin + entry.bytes, 24);
    }
  }
}

struct BadHeader {
  const char* header;
  std::size_t data_bytes;
  const char* message;
};

class SafetensorsRefuses : public SafetensorsTest, public testing::WithParamInterface<BadHeader> {};

TEST_P(SafetensorsRefuses, AHeaderThatBreaksARule) {
  write_parts(GetParam().header, std::string(GetParam().data_bytes, 'd'));
  EXPECT_THAT(error_of_open(), HasSubstr(GetParam().message)) << GetParam().header;
}

INSTANTIATE_TEST_SUITE_P(
    Headers, SafetensorsRefuses,
    testing::Values(
        BadHeader{"", 0, "does not begin with {"}, BadHeader{" {}", 0, "does not begin with {"},
        BadHeader{"[]", 0, "does not begin with {"}, BadHeader{"{\"w\"", 0, "not JSON"},
        BadHeader{"{\"w\":1}", 0, "an object is needed"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                      "w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                  8, "\"w\" is there twice"},
        BadHeader{R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
                  "\"dtype\" is there twice"},
        BadHeader{R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4, "w.dtype is missing"},
        BadHeader{R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4, "w.shape is missing"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[1]}})", 4, "w.data_offsets is missing"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}})", 4,
                  "w.x is not a field"},
        BadHeader{R"({"w":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4, "no known type"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "holds -1"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4, "holds 1.5"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4,
                  "whole numbers from 0"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})",
                  4, "no known type fits"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "span 4 bytes"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "begin and end"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "begin and end"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "cut short"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
                  "begins at byte 4"},
        BadHeader{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                      "b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                  8, "b begins at byte 4"},
        BadHeader{R"({"__metadata__":{"step":1}})", 0, "__metadata__.step is 1, text is needed"},
        BadHeader{R"({"__metadata__":[]})", 0, "an object is needed"},
        BadHeader{R"({"w":{"dtype":"F32","shape":[[[1]]],"data_offsets":[0,4]}})", 4,
                  "nested deeper"}));

TEST_F(SafetensorsTest, AHeaderThatIsTooLongIsRefusedUnread) {
  // A sparse file, so that the length fits what follows and only the limit refuses it.
  const std::uint64_t length = 100'000'001;
  std::string field(8, '\0');
  std::memcpy(field.data(), &length, 8);
  write_raw(field);
  fs::resize_file(path_, 8 + length);
  EXPECT_THAT(error_of_open(), HasSubstr("header of 100000001 bytes, 100000000 are allowed"));
  write_raw(std::string(8, '\xff') + "{}");
  EXPECT_THAT(error_of_open(), HasSubstr("header of 18446744073709551615 bytes"));
}

TEST_F(SafetensorsTest, DeepNestingIsRefusedWithoutReadingOn) {
  write_parts("{\"a\":" + std::string(1 << 20, '['), "");
  EXPECT_THAT(error_of_open(), HasSubstr("nested deeper"));
}

TEST_F(SafetensorsTest, WhatIsNoFileIsNamed) {
  EXPECT_THAT(error_of_open(), HasSubstr("cannot be opened"));
  fs::create_directory(path_);
  EXPECT_THAT(error_of_open(), HasSubstr("no regular file"));
}

TEST_F(SafetensorsTest, AFileThatShrinksWhileOpenIsNamedAndANewerOneDoesNotMixIn) {
  write_safetensors(path_, {view("w", values_, {6})}, {});
  const auto file = SafetensorsFile::open(path_);
  const std::vector<float> newer(6, 9.0f);
  write_safetensors(path_, {view("w", newer, {6})}, {});
  std::vector<float> read(6);
  file.read(*file.find("w"), read.data());
  EXPECT_EQ(read, values_);
  const auto second = SafetensorsFile::open(path_);
  fs::resize_file(path_, fs::file_size(path_) - 1);
  EXPECT_THROW(second.read(*second.find("w"), read.data()), ConfigError);
}

TEST_F(SafetensorsTest, RefusesToWriteWhatCouldNotBeReadBack) {
  EXPECT_THROW(write_safetensors(path_, {view("w", values_, {5})}, {}), InternalError);
  EXPECT_THROW(write_safetensors(path_, {{"w", "F33", {}, nullptr, 4}}, {}), InternalError);
  EXPECT_THROW(write_safetensors(path_, {view("__metadata__", values_, {6})}, {}), InternalError);
  EXPECT_THROW(write_safetensors(path_, {view("w", values_, {6}), view("w", values_, {6})}, {}),
               InternalError);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(SafetensorsTest, TextThatIsNoUtf8IsReplaced) {
  write_safetensors(path_, {}, {{"classes", "caf\xe9"}});
  EXPECT_EQ(SafetensorsFile::open(path_).metadata().at("classes"), "caf\uFFFD");
}

TEST_F(SafetensorsTest, AFullDiskLeavesTheOlderFile) {
  write_safetensors(path_, {view("w", values_, {6})}, {});
  const std::string before = read_file(path_, "test");
  const std::vector<float> many(1 << 16);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 12, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(write_safetensors(path_, {view("w", many, {1 << 16})}, {}), ResourceError);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(path_, "test"), before);
}

}  // namespace
}  // namespace millrace
