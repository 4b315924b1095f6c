#include "framework/base/json_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string error_of(const std::function<void(JsonReader&)>& read, const json& document) {
  try {
    JsonReader reader(document, "costs", "a.json", "");
    read(reader);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(JsonReader, ReadsEachType) {
  const json document = {{"t", "x"},  {"n", 1.5},    {"i", 7},
                         {"b", true}, {"a", {1, 2}}, {"o", {{"k", 3}}}};
  JsonReader reader(document, "costs", "a.json", "");
  EXPECT_EQ(reader.text("t"), "x");
  EXPECT_EQ(reader.number("n"), 1.5);
  EXPECT_EQ(reader.integer("i"), 7);
  EXPECT_TRUE(reader.boolean("b"));
  EXPECT_EQ(reader.array("a").size(), 2u);
  EXPECT_EQ(reader.integers("a"), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(reader.child("o").integer("k"), 3);
  EXPECT_NO_THROW(reader.finish());
}

TEST(JsonReader, ReadsEveryWholeNumberOf64Bits) {
  constexpr std::int64_t kYear_ns = 31'622'400'000'000'001;
  const json document = {{"i", kYear_ns}};
  EXPECT_EQ(JsonReader(document, "costs", "a.json", "").integer("i"), kYear_ns);
  EXPECT_THAT(error_of([](JsonReader& r) { r.integer("i"); }, {{"i", ~std::uint64_t{0}}}),
              HasSubstr("whole number"));
}

TEST(JsonReader, NamesFilePlaceAndRule) {
  const json layers = {{"layers", {{{"cost", -1}}}}};
  EXPECT_EQ(error_of([](JsonReader& r) { r.element("layers", 0).non_negative("cost"); }, layers),
            "[costs] a.json: layers[0].cost is -1, a number of at least 0 is needed");
  EXPECT_EQ(error_of([](JsonReader& r) { r.text("name"); }, json::object()),
            "[costs] a.json: name is missing: add it");
  EXPECT_THAT(error_of([](JsonReader& r) { r.integer("i"); }, {{"i", 1.5}}),
              HasSubstr("whole number"));
  EXPECT_THAT(error_of([](JsonReader& r) { r.boolean("i"); }, {{"i", 1}}),
              HasSubstr("true or false"));
  EXPECT_THAT(error_of([](JsonReader& r) { r.array("i"); }, {{"i", 1}}), HasSubstr("a list"));
  EXPECT_THAT(error_of([](JsonReader& r) { r.texts("a"); }, {{"a", {"x", 2}}}),
              HasSubstr("a holds 2, a list of text"));
  EXPECT_THAT(error_of([](JsonReader& r) { r.integers("a"); }, {{"a", {1, 2.5}}}),
              HasSubstr("a holds 2.5, a list of whole numbers"));
  EXPECT_THAT(error_of([](JsonReader& r) { r.child("i"); }, {{"i", 1}}), HasSubstr("an object"));
}

TEST(JsonReader, RefusesWhatNothingAskedFor) {
  const std::string message = error_of(
      [](JsonReader& r) {
        r.text("name");
        r.finish();
      },
      {{"name", "x"}, {"nmae", "y"}});
  EXPECT_THAT(message, HasSubstr("nmae is not a field of this format"));
}

TEST(JsonReader, RefusesTextThatIsNoJson) {
  EXPECT_THROW(JsonReader::parse("{\"a\": }", "costs", "a.json"), ConfigError);
  EXPECT_THROW(JsonReader(json::array(), "costs", "a.json", ""), ConfigError);
}

TEST(CheckFormat, ComparesFormatAndVersion) {
  const auto check = [](JsonReader& r) { check_format(r, "millrace-plan", 1); };
  EXPECT_EQ(error_of(check, {{"format", "millrace-plan"}, {"version", 1}}), "");
  EXPECT_THAT(error_of(check, {{"format", "millrace-costs"}, {"version", 1}}),
              HasSubstr("\"millrace-plan\" is needed"));
  EXPECT_THAT(error_of(check, {{"format", "millrace-plan"}, {"version", 2}}),
              HasSubstr("is 2, this program reads 1"));
}

}  // namespace
}  // namespace millrace
