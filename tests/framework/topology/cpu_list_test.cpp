#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/topology.hpp"
#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;

TEST(ParseCpuList, ReadsWhatTasksetReads) {
  EXPECT_EQ(parse_cpu_list("0"), (std::vector<int>{0}));
  EXPECT_EQ(parse_cpu_list("0,2-3"), (std::vector<int>{0, 2, 3}));
  EXPECT_EQ(parse_cpu_list("0-7:2"), (std::vector<int>{0, 2, 4, 6}));
  EXPECT_EQ(parse_cpu_list("4-4"), (std::vector<int>{4}));
  EXPECT_EQ(parse_cpu_list("0-4:9"), (std::vector<int>{0}));
  EXPECT_EQ(parse_cpu_list("8191"), (std::vector<int>{8191}));
}

TEST(ParseCpuList, SortsAndNamesEachOnce) {
  EXPECT_EQ(parse_cpu_list("7,0-2,1,7"), (std::vector<int>{0, 1, 2, 7}));
}

struct BadList {
  const char* text;
  const char* reason;
};

class BadCpuList : public ::testing::TestWithParam<BadList> {};

TEST_P(BadCpuList, IsRefusedWithItsReason) {
  const auto& [text, reason] = GetParam();
  const std::string message = refusal([text = text] { parse_cpu_list(text); });
  EXPECT_THAT(message, HasSubstr("[cores] \"" + std::string(text) + "\": "));
  EXPECT_THAT(message, HasSubstr(reason));
  EXPECT_THAT(message, HasSubstr("0,2-3"));
}

const BadList kBadLists[] = {{"", "no CPU number"},
                             {"a", "no CPU number"},
                             {"3-1", "ends before it begins"},
                             {"0-", "no CPU number"},
                             {"-1", "no CPU number"},
                             {"0--1", "no CPU number"},
                             {"-", "no CPU number"},
                             {",", "no CPU number"},
                             {"1,", "no CPU number"},
                             {"1,,2", "no CPU number"},
                             {"1 2", "no CPU number"},
                             {" 1", "no CPU number"},
                             {"+1", "no CPU number"},
                             {"1.5", "no CPU number"},
                             {"0x1", "no CPU number"},
                             {"0-7:", "no CPU number"},
                             {"0-7:0", "step of 0"},
                             {"0-7:-2", "no CPU number"},
                             {"3:2", "no range"},
                             {"1-2-3", "no CPU number"},
                             {"8192", "beyond CPU 8191"},
                             {"0-4000000000", "beyond CPU 8191"},
                             {"99999999999999999999", "beyond CPU 8191"}};

INSTANTIATE_TEST_SUITE_P(All, BadCpuList, ::testing::ValuesIn(kBadLists));

TEST(FormatCpuList, JoinsRangesInAnyOrder) {
  EXPECT_EQ(format_cpu_list({}), "");
  EXPECT_EQ(format_cpu_list({5}), "5");
  EXPECT_EQ(format_cpu_list({0, 1}), "0-1");
  EXPECT_EQ(format_cpu_list({7, 2, 0, 1, 2}), "0-2,7");
  EXPECT_EQ(format_cpu_list({0, 2, 4}), "0,2,4");
}

TEST(FormatCpuList, IsReadBack) {
  for (const char* text : {"0", "0-3", "0,2-3,8191", "1,3,5-6"}) {
    EXPECT_EQ(format_cpu_list(parse_cpu_list(text)), text);
  }
}

}  // namespace
}  // namespace millrace
