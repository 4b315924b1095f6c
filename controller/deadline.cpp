#include "controller/deadline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <vector>

#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "deadline";
constexpr std::int64_t kSecond_ns = 1'000'000'000;

/// `text` as the whole of one of the formats.
template <std::size_t N>
std::optional<std::tm> read(const std::string& text, const char* const (&formats)[N]) {
  for (const char* format : formats) {
    std::tm time{};
    const char* end = strptime(text.c_str(), format, &time);
    if (end != nullptr && *end == '\0' && time.tm_sec < 60) return time;  // it reads leap seconds
  }
  return std::nullopt;
}

std::string formatted(const std::tm& time, const char* format) {
  char text[40];
  return {text, std::strftime(text, sizeof(text), format, &time)};
}

std::tm local_time(std::int64_t seconds) {
  const std::time_t at = seconds;
  std::tm time{};
  localtime_r(&at, &time);
  return time;
}

/// Orders what clocks show.
std::int64_t shown(std::tm time) { return timegm(&time); }

std::int64_t moment_of(std::tm time, bool summer) {
  time.tm_isdst = summer ? 1 : 0;
  return std::mktime(&time);
}

/// When local clocks show `time`, in order: twice where they go back, never where they skip it.
std::vector<std::int64_t> moments_of(const std::tm& time) {
  std::vector<std::int64_t> moments;
  for (const bool summer : {true, false}) {
    const std::int64_t moment = moment_of(time, summer);
    if (shown(local_time(moment)) == shown(time)) moments.push_back(moment);
  }
  std::sort(moments.begin(), moments.end());
  return moments;
}

/// The first after `now`, or the last.
std::int64_t next_moment(const std::tm& time, std::int64_t now, const std::string& text) {
  const std::vector<std::int64_t> moments = moments_of(time);
  if (moments.empty()) {
    const std::tm later = local_time(std::max(moment_of(time, true), moment_of(time, false)));
    throw ConfigError(
        kTag, fmt::format("\"{}\" is no time of {}, when clocks go forward past it: write it as {}",
                          text, formatted(time, "%Y-%m-%d"), formatted(later, "%Y-%m-%dT%H:%M")));
  }
  const auto next = std::upper_bound(moments.begin(), moments.end(), now);
  return next == moments.end() ? moments.back() : *next;
}

/// The 31st of April would silently become the 1st of May.
void require_day(const std::tm& time, const std::string& text) {
  std::tm normal = time;
  timegm(&normal);
  if (normal.tm_mday == time.tm_mday) return;
  std::tm last = time;
  last.tm_mday -= normal.tm_mday;
  throw ConfigError(kTag, fmt::format("\"{}\" names a day that its month does not have: the last "
                                      "one is {}",
                                      text, formatted(last, "%Y-%m-%d")));
}

std::optional<std::int64_t> read_time_of_day(const std::string& text, std::int64_t now) {
  const auto asked = read(text, {"%H:%M", "%H:%M:%S"});
  if (!asked) return std::nullopt;
  std::tm time = local_time(now);
  time.tm_hour = asked->tm_hour;
  time.tm_min = asked->tm_min;
  time.tm_sec = asked->tm_sec;
  const std::vector<std::int64_t> today = moments_of(time);
  const bool passed = today.empty() ? shown(time) < shown(local_time(now)) : today.back() <= now;
  if (passed) {
    ++time.tm_mday;
    timegm(&time);  // the 1st, after a month's last day
  }
  return next_moment(time, now, text);
}

std::optional<std::int64_t> read_date(const std::string& written, std::int64_t now) {
  std::string text = written;
  std::replace(text.begin(), text.end(), ' ', 'T');  // as messages show it
  const auto utc = read(text, {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"});
  const auto local = read(text, {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"});
  if (!utc && !local) return std::nullopt;
  require_day(utc ? *utc : *local, text);
  return utc ? shown(*utc) : next_moment(*local, now, text);
}

/// Whole seconds, none less than asked. A date that is none is no sum of times either.
std::optional<std::int64_t> read_duration(const std::string& text) {
  if (text.find_first_of("-:") != std::string::npos) return std::nullopt;
  try {
    return (parse_duration_ns(text) + kSecond_ns - 1) / kSecond_ns;
  } catch (const ConfigError&) {
    return std::nullopt;
  }
}

}  // namespace

std::int64_t parse_deadline(const std::string& text, std::int64_t now) {
  if (const auto time = read_time_of_day(text, now)) return *time;
  if (const auto time = read_date(text, now)) return *time;
  if (const auto seconds = read_duration(text)) return now + *seconds;
  throw ConfigError(kTag, fmt::format("\"{}\" is no deadline: write it as 2h, 18:30 or "
                                      "2026-12-01T06:00 (Z behind it: UTC)",
                                      text));
}

std::string deadline_in_utc(std::int64_t deadline) {
  const std::time_t at = deadline;
  std::tm time{};
  gmtime_r(&at, &time);
  return formatted(time, "%Y-%m-%dT%H:%M:%SZ");
}

std::string deadline_text(std::int64_t deadline) {
  return formatted(local_time(deadline), "%Y-%m-%d %H:%M:%S");
}

std::int64_t time_left_ns(std::int64_t deadline, std::int64_t now) {
  if (deadline <= now) {
    throw ConfigError(kTag, fmt::format("the deadline, {}, has passed, it is {}: give a later one "
                                        "(--deadline TIME), or --deadline none",
                                        deadline_text(deadline), deadline_text(now)));
  }
  if (deadline - now >= std::numeric_limits<std::int64_t>::max() / kSecond_ns) {
    throw ConfigError(kTag, fmt::format("the deadline, {}, is more than 290 years from now: give "
                                        "an earlier one, or --deadline none",
                                        deadline_text(deadline)));
  }
  return (deadline - now) * kSecond_ns;
}

const char* to_string(Outlook outlook) {
  switch (outlook) {
    case Outlook::met:
      return "met";
    case Outlook::uncertain:
      return "uncertain";
    case Outlook::missed:
      return "missed";
  }
  return "";
}

Outlook outlook_of(double left_ns, const TimeEstimate& remaining) {
  if (remaining.expected_ns > left_ns) return Outlook::missed;
  return remaining.latest_ns > left_ns ? Outlook::uncertain : Outlook::met;
}

std::int64_t time_still_left_ns(std::int64_t deadline, std::int64_t now) {
  return deadline > now ? time_left_ns(deadline, now) : 1;
}

void DeadlineWatch::observe(std::int64_t elapsed_ns, const TimeEstimate& remaining,
                            double last_step_ns) {
  if (!deadline_ns_) return;
  const auto left_ns = static_cast<double>(*deadline_ns_ - elapsed_ns);
  const Outlook now = outlook_of(left_ns, remaining);
  if (now > worst_) log_warning(kTag, warning_of(now, left_ns, remaining));
  worst_ = std::max(worst_, now);
  reached_ = last_step_ns > left_ns;
  if (reached_) log_info(kTag, "no time is left for another step: the training ends");
}

std::string warning_of(Outlook outlook, double left_ns, const TimeEstimate& remaining) {
  const bool missed = outlook == Outlook::missed;
  if (left_ns <= 1)
    return "the deadline passed while the training was prepared: it ends with a checkpoint, and "
           "`millrace resume DIR --deadline TIME` goes on";
  return fmt::format("the deadline {} be missed: it is in {}, what is left takes {} (latest {}){}",
                     missed ? "will" : "may", format_duration(std::max(0.0, left_ns)),
                     format_duration(remaining.expected_ns), format_duration(remaining.latest_ns),
                     missed ? "; the training ends before it with a checkpoint, and `millrace "
                              "resume DIR --deadline TIME` goes on"
                            : "");
}

}  // namespace millrace
