#include "controller/memory_watch.hpp"

#include <fmt/format.h>

#include <utility>

#include "millrace/units.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kInterval_ns = 1'000'000'000;
constexpr std::int64_t kEffect_ns = 10'000'000'000;

std::string text_of(const MemoryState& now, bool hit) {
  std::string text =
      fmt::format("{} of {} are left", format_bytes(static_cast<double>(now.left_bytes)),
                  format_bytes(static_cast<double>(now.limit_bytes)));
  if (hit) text += ", the limit was reached";
  if (now.stalled_percent > 0)
    text += fmt::format(", all waited for memory {:.0f} % of the time", now.stalled_percent);
  return text;
}

}  // namespace

std::optional<std::string> MemoryWatch::pressed(std::int64_t now_ns) {
  if (!look_ || now_ns < next_ns_) return std::nullopt;
  next_ns_ = now_ns + kInterval_ns;
  const auto now = look_();
  if (!now) return std::nullopt;
  const auto before = std::exchange(last_, now);
  const bool hit = before && before->group == now->group && now->hits > before->hits;
  const bool stalled = now->stalled_percent >= kStalledPercent;
  const bool pressed =
      now->left_share() < kLittleLeft || (now->left_share() < kSomeLeft && (hit || stalled));
  return pressed ? std::optional(text_of(*now, hit)) : std::nullopt;
}

void MemoryWatch::answered(std::int64_t now_ns, bool by_a_plan) {
  next_ns_ = now_ns + kEffect_ns;
  if (!by_a_plan) look_ = nullptr;
}

}  // namespace millrace
