#include "controller/deadline.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <ctime>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// 2026-11-29 17:30:00 in Berlin, an hour later than in UTC.
constexpr std::int64_t kNow = 1795969800;
constexpr std::int64_t kHour = 3600, kDay = 24 * kHour;

class DeadlineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* zone = getenv("TZ")) zone_ = zone;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
  }
  void TearDown() override {
    zone_ ? setenv("TZ", zone_->c_str(), 1) : unsetenv("TZ");
    tzset();
  }
  std::optional<std::string> zone_;
};

TEST_F(DeadlineTest, IsATimeFromNowOn) {
  EXPECT_EQ(parse_deadline("2h", kNow), kNow + 2 * kHour);
  EXPECT_EQ(parse_deadline("1h30m", kNow), kNow + 5400);
  EXPECT_EQ(parse_deadline("90", kNow), kNow + 90);
  EXPECT_EQ(parse_deadline("10ms", kNow), kNow + 1) << "whole seconds, none less than asked";
}

TEST_F(DeadlineTest, IsTheNextSuchTimeOfDay) {
  EXPECT_EQ(parse_deadline("18:30", kNow), kNow + kHour);
  EXPECT_EQ(parse_deadline("18:30:05", kNow), kNow + kHour + 5);
  EXPECT_EQ(parse_deadline("17:30", kNow), kNow + kDay) << "now is no deadline";
  EXPECT_EQ(parse_deadline("6:00", kNow), kNow + kDay - 11 * kHour - 1800);
  EXPECT_EQ(parse_deadline("01:00", 1774652400), 1774652400 + kHour) << "from midnight on";
  EXPECT_EQ(parse_deadline("04:00", 1774738800), 1774738800 + 3 * kHour) << "summer time begins";
}

TEST_F(DeadlineTest, IsADate) {
  EXPECT_EQ(parse_deadline("2026-11-29T18:30", kNow), kNow + kHour);
  EXPECT_EQ(parse_deadline("2026-11-30T17:30:00", kNow), kNow + kDay);
  EXPECT_EQ(parse_deadline("2026-11-29T17:30:00Z", kNow), kNow + kHour);
  EXPECT_EQ(parse_deadline("2026-11-30", kNow), kNow + 6 * kHour + 1800);
  EXPECT_EQ(parse_deadline("2020-01-01T00:00Z", kNow), 1577836800) << "though it has passed";
}

TEST_F(DeadlineTest, AnythingElseIsRefused) {
  for (const char* text : {"soon", "", "25:00", "18:60", "2026-13-01", "2026-12-01T", "-2h",
                           "18:30 today", "2026-12-01T06:00+02:00", "18:30:60"})
    EXPECT_THAT([&] { parse_deadline(text, kNow); },
                ThrowsMessage<ConfigError>(HasSubstr("2h, 18:30 or 2026-12-01T06:00")))
        << text;
  EXPECT_THAT([&] { parse_deadline("2026-02-30", kNow); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("\"2026-02-30\" names a day"),
                                               HasSubstr("the last one is 2026-02-28"))));
}

/// Clocks go back from 03:00 to 02:00 on 2026-10-25, at 01:00 in UTC.
TEST_F(DeadlineTest, IsTheNextMomentWhereClocksShowATimeTwice) {
  constexpr std::int64_t kBack = 1792890000, kMinute = 60;
  EXPECT_EQ(parse_deadline("02:55", kBack - 10 * kMinute), kBack - 5 * kMinute);
  EXPECT_EQ(parse_deadline("02:40", kBack - 10 * kMinute), kBack + 40 * kMinute) << "once more";
  EXPECT_EQ(parse_deadline("02:55", kBack + 50 * kMinute), kBack + 55 * kMinute);
  EXPECT_EQ(parse_deadline("02:40", kBack + 50 * kMinute), kBack + 40 * kMinute + kDay);
  EXPECT_EQ(parse_deadline("03:30", kBack - 10 * kMinute), kBack + 90 * kMinute);
  EXPECT_EQ(parse_deadline("2026-10-25T02:55", kNow - 90 * kDay), kBack - 5 * kMinute);
  EXPECT_EQ(parse_deadline("2026-10-25T02:55", kBack), kBack + 55 * kMinute);
  EXPECT_EQ(parse_deadline("2026-10-25T02:55", kNow), kBack + 55 * kMinute) << "both have passed";
}

/// Clocks go forward from 02:00 to 03:00 on 2026-03-29, at 01:00 in UTC.
TEST_F(DeadlineTest, ATimeThatClocksSkipIsRefused) {
  constexpr std::int64_t kForward = 1774746000;
  const auto refused = [](const std::string& text, std::int64_t now) {
    EXPECT_THAT(
        [&] { parse_deadline(text, now); },
        ThrowsMessage<ConfigError>(AllOf(HasSubstr("\"" + text + "\" is no time of 2026-03-29"),
                                         HasSubstr("write it as 2026-03-29T03:30"))))
        << text;
  };
  refused("02:30", kForward - kHour);
  refused("02:30", kForward - 20 * kHour);
  refused("2026-03-29T02:30", kNow);
  EXPECT_EQ(parse_deadline("02:30", kForward + kHour), kForward + 23 * kHour + 1800)
      << "the night after";
  EXPECT_EQ(parse_deadline("03:00", kForward - kHour), kForward);
  EXPECT_EQ(parse_deadline("2026-03-29T02:30Z", kNow), kForward + 5400) << "UTC has no gaps";
}

TEST_F(DeadlineTest, IsTheSameWhereClocksAreNeverChanged) {
  setenv("TZ", "UTC0", 1);
  tzset();
  EXPECT_EQ(parse_deadline("17:30", kNow), kNow + kHour);
  EXPECT_EQ(parse_deadline("16:30", kNow), kNow + kDay);
  EXPECT_EQ(parse_deadline("2026-11-29T17:30", kNow), kNow + kHour);
}

TEST_F(DeadlineTest, IsWrittenInUtcAndShownInTheLocalZone) {
  EXPECT_EQ(deadline_in_utc(kNow), "2026-11-29T16:30:00Z");
  EXPECT_EQ(parse_deadline(deadline_in_utc(kNow), 0), kNow);
  EXPECT_EQ(deadline_text(kNow), "2026-11-29 17:30:00");
}

TEST_F(DeadlineTest, ThatHasPassedNamesBothTimes) {
  EXPECT_EQ(time_left_ns(kNow + 2, kNow), 2'000'000'000);
  for (const std::int64_t late : {0, 60})
    EXPECT_THAT([&] { time_left_ns(kNow, kNow + late); },
                ThrowsMessage<ConfigError>(AllOf(HasSubstr("2026-11-29 17:30:00, has passed"),
                                                 HasSubstr(deadline_text(kNow + late)),
                                                 HasSubstr("none"))));
  EXPECT_THAT([&] { time_left_ns(kNow + 400 * 366 * kDay, kNow); },
              ThrowsMessage<ConfigError>(HasSubstr("290 years")));
}

TEST(Outlook, IsByTheLatestTimeThenByTheExpected) {
  EXPECT_EQ(outlook_of(20, {10, 20}), Outlook::met);
  EXPECT_EQ(outlook_of(19, {10, 20}), Outlook::uncertain);
  EXPECT_EQ(outlook_of(10, {10, 20}), Outlook::uncertain);
  EXPECT_EQ(outlook_of(9, {10, 20}), Outlook::missed);
}

/// How often a run with a deadline at 100 warned, of these remaining times, one a step of 1.
int warnings(const std::vector<TimeEstimate>& remaining) {
  DeadlineWatch watch(100);
  testing::internal::CaptureStderr();
  for (std::size_t i = 0; i < remaining.size(); ++i)
    watch.observe(static_cast<std::int64_t>(i), remaining[i], 1);
  const std::string log = testing::internal::GetCapturedStderr();
  int count = 0;
  for (std::size_t at = 0; (at = log.find("be missed", at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST(DeadlineWatch, WarnsOnceThatItMayAndOnceThatItWillBeMissed) {
  EXPECT_EQ(warnings({{50, 60}, {50, 60}}), 0);
  EXPECT_EQ(warnings({{50, 120}, {50, 60}, {50, 120}}), 1);
  EXPECT_EQ(warnings({{50, 120}, {120, 130}, {50, 120}, {120, 130}}), 2);
  EXPECT_EQ(warnings({{120, 130}, {50, 120}, {120, 130}}), 1);
}

TEST(DeadlineWatch, WarningsNameTheTimes) {
  const TimeEstimate remaining{60e9, 90e9};
  EXPECT_EQ(
      warning_of(Outlook::uncertain, 80e9, remaining),
      "the deadline may be missed: it is in 80.0 s, what is left takes 60.0 s (latest 90.0 s)");
  EXPECT_THAT(warning_of(Outlook::missed, 50e9, remaining),
              AllOf(HasSubstr("will be missed: it is in 50.0 s"),
                    HasSubstr("millrace resume DIR --deadline TIME")));
}

TEST(DeadlineWatch, IsReachedWhenNoOtherStepFits) {
  DeadlineWatch watch(100);
  watch.observe(80, {10, 15}, 20);
  EXPECT_FALSE(watch.reached());
  watch.observe(81, {10, 15}, 20);
  EXPECT_TRUE(watch.reached());
  DeadlineWatch none(std::nullopt);
  none.observe(1'000'000, {1e6, 1e6}, 1e6);
  EXPECT_FALSE(none.reached());
}

}  // namespace
}  // namespace millrace
