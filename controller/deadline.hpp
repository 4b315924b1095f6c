#pragma once
// A moment by which a run is to be done: as people write it, and what to say while it comes nearer.

#include <cstdint>
#include <optional>
#include <string>

#include "millrace/estimate.hpp"

namespace millrace {

/// Seconds since 1970 from a time from `now` on ("2h", "90m"), a time of day in the local zone
/// ("18:30": the next one), a local date with or without a time ("2026-12-01T06:00") or one in UTC
/// ("2026-12-01T06:00:00Z"). Where clocks go back, the next moment that they show the time. Throws
/// ConfigError (tag "deadline") for anything else, and for a day or a time that there is not. It
/// may lie in the past.
std::int64_t parse_deadline(const std::string& text, std::int64_t now);

/// "2026-12-01T06:00:00Z": parse_deadline reads it back whatever the time and the zone.
std::string deadline_in_utc(std::int64_t deadline);
/// For people, in the local zone: "2026-12-01 07:00:00".
std::string deadline_text(std::int64_t deadline);

/// Nanoseconds left at `now`. Throws ConfigError (tag "deadline") where none are.
std::int64_t time_left_ns(std::int64_t deadline, std::int64_t now);

/// The same for a deadline that was in time when the command began: what it took to prepare may
/// have used it up, then 1.
std::int64_t time_still_left_ns(std::int64_t deadline, std::int64_t now);

/// Whether what is left of a run is done in time, as far as it is known.
enum class Outlook {
  met,        ///< even the latest time is in time
  uncertain,  ///< the expected time is, the latest is not
  missed      ///< the expected time is not
};
const char* to_string(Outlook outlook);
Outlook outlook_of(double left_ns, const TimeEstimate& remaining);

/// What a run's deadline says while the run goes on. Not thread-safe.
class DeadlineWatch {
 public:
  /// `deadline_ns`: in the run's time, which observe's `elapsed_ns` is of, too; absent: none.
  explicit DeadlineWatch(std::optional<std::int64_t> deadline_ns) : deadline_ns_(deadline_ns) {}

  /// Between two steps. Each change of the outlook for the worse is warned of, once.
  /// `last_step_ns`: what another step takes at most, with all that closes the run.
  void observe(std::int64_t elapsed_ns, const TimeEstimate& remaining, double last_step_ns);
  /// Whether the last observation left no time for another step.
  bool reached() const { return reached_; }

 private:
  std::optional<std::int64_t> deadline_ns_;
  Outlook worst_ = Outlook::met;
  bool reached_ = false;
};

/// A change for the worse, as a run is warned of it.
std::string warning_of(Outlook outlook, double left_ns, const TimeEstimate& remaining);

}  // namespace millrace
