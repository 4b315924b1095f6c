#include "models/data/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "millrace/errors.hpp"
#include "models/data/tales.hpp"
#include "models/data/utf8.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace millrace::testing;

void write_text(const std::filesystem::path& path, const std::string& text) {
  write_file(path, Bytes(text.begin(), text.end()));
}

std::string decoded(const Text& text, const std::vector<std::uint16_t>& ids) {
  std::string result;
  for (const std::uint16_t id : ids) result += text.characters.at(static_cast<std::size_t>(id));
  return result;
}

TEST(Utf8, TellsCharactersFromOtherBytes) {
  for (const std::string whole : {"a", "\n", "é", "€", "😀", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(utf8_size(whole, 0), whole.size()) << whole;
  for (const char* broken : {"\x80", "\xc0\xaf", "\xc3", "\xc3(", "\xe0\x80\xaf", "\xed\xa0\x80",
                             "\xe2\x82", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff"})
    EXPECT_EQ(utf8_size(broken, 0), 0u) << broken;
}

TEST(Utf8, MarksBytesOfNoCharacter) {
  EXPECT_EQ(valid_utf8("caf\xe9 \xe9t\xe9"), "caf\uFFFD \uFFFDt\uFFFD");
  EXPECT_EQ(valid_utf8("\xe2\x82"), "\uFFFD\uFFFD");
  EXPECT_EQ(valid_utf8("é€😀"), "é€😀");
  EXPECT_EQ(valid_utf8(""), "");
}

class Texts : public ::testing::Test {
 protected:
  std::string refusal(const std::string& path) const {
    return message_of([&] { open_text({.path = path}); });
  }
  const ScratchFolder folder_;
};

TEST_F(Texts, FileGivesItsEndToValidation) {
  write_text(folder_ / "one.txt", "banana €uro");
  const Text text = open_text({.path = folder_ / "one.txt", .validation_fraction = 0.4});
  EXPECT_THAT(text.characters, ElementsAre(" ", "a", "b", "n", "o", "r", "u", "€"));
  EXPECT_EQ(decoded(text, text.train), "banana ");
  EXPECT_EQ(decoded(text, text.validation), "€uro");
}

TEST_F(Texts, FolderSaysWhatIsValidation) {
  write_text(folder_ / "train.txt", "abc");
  write_text(folder_ / "val.txt", "cd");
  write_text(folder_ / "notes.txt", "xyz");
  const Text text = open_text({.path = folder_.path()});
  EXPECT_THAT(text.characters, ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(decoded(text, text.train), "abc");
  EXPECT_EQ(decoded(text, text.validation), "cd");
}

TEST_F(Texts, FilesOfAFolderAreJoinedByName) {
  write_text(folder_ / "2.txt", "world");
  write_text(folder_ / "1.txt", "hello ");
  write_text(folder_ / "3.md", "not this");
  const Text text = open_text({.path = folder_.path(), .validation_fraction = 0});
  EXPECT_EQ(decoded(text, text.train), "hello world");
}

TEST_F(Texts, ByteOrderMarksArePassedOver) {
  write_text(folder_ / "1.txt",
             "\xef\xbb\xbf"
             "ab");
  write_text(folder_ / "2.txt",
             "\xef\xbb\xbf"
             "ba");
  const Text text = open_text({.path = folder_.path(), .validation_fraction = 0});
  EXPECT_EQ(decoded(text, text.train), "abba");
  EXPECT_THAT(characters_in(folder_.path()), ElementsAre("a", "b"));
}

TEST_F(Texts, FileOfAFolderIsNamedWithItsPlace) {
  write_text(folder_ / "1.txt", "hello");
  write_text(folder_ / "2.txt", "w\xf6rld");
  EXPECT_THAT(refusal(folder_.path()), AllOf(HasSubstr("2.txt"), HasSubstr("at byte 1 (0xf6)")));
}

TEST_F(Texts, ModelsCharactersAreKept) {
  write_text(folder_ / "one.txt", "cab");
  const std::vector<std::string> known = {"c", "b", "a", "z"};
  const Text text =
      open_text({.path = folder_ / "one.txt", .validation_fraction = 0, .characters = known});
  EXPECT_EQ(text.characters, known);
  EXPECT_THAT(text.train, ElementsAre(0, 2, 1));
  EXPECT_THAT(message_of([&] {
                open_text({.path = folder_ / "one.txt", .characters = {{"c", "b"}}});
              }),
              AllOf(HasSubstr("one.txt"), HasSubstr("'a' at byte 1"), HasSubstr("2 characters")));
}

TEST_F(Texts, RefusesWhatIsNoText) {
  EXPECT_THAT(refusal(folder_ / "missing"), HasSubstr("no such file or folder"));
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("has no text"));
  write_text(folder_ / "one.txt", "aaaa");
  EXPECT_THAT(refusal(folder_ / "one.txt"), HasSubstr("1 different characters"));
  write_text(folder_ / "empty.txt", "");
  EXPECT_THAT(refusal(folder_ / "empty.txt"), HasSubstr("0 different characters"));
  write_text(folder_ / "binary.txt", "ab\xff");
  EXPECT_THAT(refusal(folder_ / "binary.txt"),
              AllOf(HasSubstr("not UTF-8 at byte 2 (0xff)"), HasSubstr("iconv")));
}

class Stretches : public ::testing::Test {
 protected:
  struct Filled {
    std::vector<std::int64_t> inputs, labels;
  };
  Filled fill(const SampleKey& key, bool training) const {
    Filled filled{std::vector<std::int64_t>(4), std::vector<std::int64_t>(4)};
    samples_.fill(key, training, filled.inputs.data(), filled.labels.data());
    return filled;
  }
  static std::vector<std::uint16_t> numbers(int count) {
    std::vector<std::uint16_t> result(static_cast<std::size_t>(count));
    std::iota(result.begin(), result.end(), 0);
    return result;
  }
  const TextSamples samples_{numbers(15), 4};
};

TEST_F(Stretches, FollowEachOtherWithTheNextCharacterAsLabel) {
  EXPECT_EQ(samples_.size(), 3);
  EXPECT_EQ(samples_.layout().input_bytes(), 32);
  EXPECT_EQ(samples_.layout().label_count(), 4);
  const Filled second = fill({1, 0, 1}, false);
  EXPECT_THAT(second.inputs, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(second.labels, ElementsAre(5, 6, 7, 8));
  EXPECT_EQ(TextSamples(numbers(4), 4).size(), 0);
  EXPECT_EQ(TextSamples(numbers(5), 4).size(), 1);
}

TEST_F(Stretches, BeginElsewhereInEveryEpochWithinTheText) {
  std::set<std::int64_t> begins;
  for (std::int64_t epoch = 0; epoch < 40; ++epoch) {
    const Filled last = fill({1, epoch, 2}, true);
    begins.insert(last.inputs[0]);
    EXPECT_EQ(last.labels[3], last.inputs[0] + 4);
    EXPECT_EQ(last.inputs, fill({1, epoch, 2}, true).inputs);
  }
  EXPECT_THAT(begins, ElementsAre(8, 9, 10)) << "the last label is the text's last character";
}

TEST(Tales, AreTheSameForTheSameSettings) {
  const ScratchFolder folder;
  EXPECT_TRUE(make_tales(folder / "a", {.tales = 100}));
  EXPECT_TRUE(make_tales(folder / "b", {.tales = 100}));
  EXPECT_FALSE(make_tales(folder / "a", {.tales = 100})) << "there already";
  const Text a = open_text({.path = folder / "a"}), b = open_text({.path = folder / "b"});
  EXPECT_EQ(a.train, b.train);
  EXPECT_GT(a.train.size(), 6 * a.validation.size());
  EXPECT_LT(a.characters.size(), 96u);
  EXPECT_THAT(decoded(a, a.train), HasSubstr(" and found "));
  EXPECT_THAT(message_of([&] { make_tales(folder / "a", {.tales = 100, .seed = 2}); }),
              AllOf(HasSubstr("seed 1"), HasSubstr("seed 2")));
  EXPECT_THROW(make_tales(folder / "c", {.tales = 9}), ConfigError);
  write_text(folder / "a/train.txt", "cut");
  EXPECT_THAT(message_of([&] { make_tales(folder / "a", {.tales = 100}); }),
              HasSubstr("an incomplete set"));
}

}  // namespace
}  // namespace millrace
