#include "millrace/units.hpp"

#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

TEST(Units, BytesAreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_bytes("4096"), 4096);
  EXPECT_EQ(parse_bytes("512M"), 512LL << 20);
  EXPECT_EQ(parse_bytes("1.5GiB"), 3LL << 29);
  EXPECT_EQ(parse_bytes(" 2 kB "), 2000);
  EXPECT_EQ(parse_bytes("3TB"), 3'000'000'000'000LL);
  EXPECT_EQ(parse_bytes("0"), 0);
}

TEST(Units, BadBytesAreRefused) {
  for (const char* text :
       {"", "M", "-1", "1X", "1M2", "nan", "inf", "1e30", "12 apples", "0x10", "1.5", "0.5B"}) {
    EXPECT_THROW(parse_bytes(text), ConfigError) << text;
  }
}

TEST(Units, DurationsAreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_duration_ns("90s"), 90'000'000'000LL);
  EXPECT_EQ(parse_duration_ns("2h30m"), 9'000'000'000'000LL);
  EXPECT_EQ(parse_duration_ns("10m"), 600'000'000'000LL);
  EXPECT_EQ(parse_duration_ns("1.5"), 1'500'000'000LL);
  EXPECT_EQ(parse_duration_ns("250ms"), 250'000'000LL);
  EXPECT_EQ(parse_duration_ns("1d 2h"), 26LL * 3600 * 1'000'000'000);
}

TEST(Units, BadDurationsAreRefused) {
  for (const char* text : {"", "m", "-5s", "10 minutes", "5s!", "1e40h", "nan"}) {
    EXPECT_THROW(parse_duration_ns(text), ConfigError) << text;
  }
}

TEST(Units, ErrorNamesTextAndRemedy) {
  try {
    parse_bytes("12 apples");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "[units] \"12 apples\" is no size: write it as 512M, 1.5GiB or 4096");
    EXPECT_EQ(error.code(), ExitCode::user);
  }
}

TEST(Units, FormatsForPeople) {
  EXPECT_EQ(format_bytes(96), "96 B");
  EXPECT_EQ(format_bytes(412.0 * (1 << 20)), "412 MiB");
  EXPECT_EQ(format_bytes(1.5 * (1 << 30)), "1.50 GiB");
  EXPECT_EQ(format_duration(850), "850 ns");
  EXPECT_EQ(format_duration(412e6), "412 ms");
  EXPECT_EQ(format_duration(1.24e9), "1.24 s");
  EXPECT_EQ(format_duration(200e9), "3 m 20 s");
  EXPECT_EQ(format_duration(7500e9), "2 h 05 m");
}

TEST(Energy, IsReadInTheUnitsOfPeople) {
  EXPECT_DOUBLE_EQ(parse_energy_joules("500J"), 500);
  EXPECT_DOUBLE_EQ(parse_energy_joules("2.5 kJ"), 2500);
  EXPECT_DOUBLE_EQ(parse_energy_joules("1.5Wh"), 5400);
  EXPECT_DOUBLE_EQ(parse_energy_joules("7"), 7);
  for (const char* wrong : {"", "5W", "-1J", "1J 2J", "nanJ", "many"})
    EXPECT_THROW(parse_energy_joules(wrong), ConfigError) << wrong;
  EXPECT_EQ(format_energy(500), "500 J");
  EXPECT_EQ(format_energy(20'000), "20.0 kJ");
  EXPECT_EQ(format_energy(1.5e6), "1.50 MJ");
}

}  // namespace
}  // namespace millrace
