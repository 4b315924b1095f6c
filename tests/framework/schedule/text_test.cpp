// The text form: round trips, and errors that name the place.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ScheduleText, RoundTrips) {
  for (const char* name : {"1f1b", "fill-drain", "zero-bubble", "forward-only"}) {
    for (const auto& [stages, micro_batches] : {std::pair{1, 1}, {3, 2}, {2, 12}, {11, 3}}) {
      const Schedule schedule = make_schedule(name, stages, micro_batches);
      EXPECT_EQ(parse_schedule(to_text(schedule), name), schedule) << to_text(schedule);
    }
  }
}

TEST(ScheduleText, WritingIsFree) {
  const Schedule expected = make_schedule("1f1b", 2, 1);
  EXPECT_EQ(parse_schedule("0F0  0B0\t0R 0U  \r\n 1F0 1B0 1R 1U", "1f1b"), expected);
}

TEST(ScheduleText, AnActionByItself) {
  EXPECT_EQ(to_text(Action{2, ActionKind::forward, 0}), "2F0");
  EXPECT_EQ(to_text(Action{10, ActionKind::backward, 31}), "10B31");
  EXPECT_EQ(to_text(Action{2, ActionKind::weight, 3}), "2W3");
  EXPECT_EQ(to_text(Action{1, ActionKind::update, 0}), "1U");
}

std::string message_of(std::string_view text) {
  try {
    parse_schedule(text, "1f1b");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ScheduleText, ErrorsNameThePlace) {
  EXPECT_THAT(message_of("0F0 0X0"),
              HasSubstr("[schedule] line 1, column 5: \"0X0\" is no action"));
  EXPECT_THAT(message_of("0F0\n1F0  1B"), HasSubstr("line 2, column 6: \"1B\" is no action"));
  EXPECT_THAT(message_of("0F0\n1F0\n1B0"),
              AllOf(HasSubstr("line 3, column 1"), HasSubstr("stage 1"), HasSubstr("stage 2")));
  EXPECT_THAT(message_of("0F0\n\n1F0"),
              HasSubstr("line 2, column 1: the line of stage 1 is empty"));
}

TEST(ScheduleText, RefusesWhatIsNoAction) {
  for (const char* bad :
       {"F0", "0", "0F", "0f0", "0F-1", "-1F0", "0F0x", "0R0", "0U1", "0F1.5",
        "0F99999999999999999999", "99999999999F0", "0F1000000", "0 F0", "0F0,0B0"}) {
    EXPECT_THAT(message_of(bad), HasSubstr("is no action")) << bad;
  }
  EXPECT_THAT(message_of(""), HasSubstr("empty"));
}

}  // namespace
}  // namespace millrace
