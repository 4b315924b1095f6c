// CPU numbers as taskset takes them.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "millrace/errors.hpp"
#include "millrace/topology.hpp"

namespace millrace {
namespace {

// Linux is built for at most 8192 CPUs; a larger number is a slip of the pen, and a range to it
// would take memory without end.
constexpr int kLastCpu = 8191;

[[noreturn]] void refuse(std::string_view text, std::string_view part, const std::string& problem) {
  throw ConfigError("cores", fmt::format("\"{}\": \"{}\" {}: write CPU numbers as 0,2-3 or 0-7:2",
                                         text, part, problem));
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

// One part of a list: "3", "0-3" or "0-7:2".
class RangeParser {
 public:
  RangeParser(std::string_view text, std::string_view part) : text_(text), part_(part) {}

  void append_to(std::vector<int>& cpus) const {
    const auto [range, step] = cut(part_, ':');
    const auto [first, last] = cut(range, '-');
    if (step && !last) refuse(text_, part_, "has a step but no range");
    const int begin = number(first);
    const int end = last ? number(*last) : begin;
    const int stride = step ? number(*step) : 1;
    if (end < begin) refuse(text_, part_, "ends before it begins");
    if (stride == 0) refuse(text_, part_, "has a step of 0");
    for (int cpu = begin; cpu <= end; cpu += stride) cpus.push_back(cpu);
  }

 private:
  static std::pair<std::string_view, std::optional<std::string_view>> cut(std::string_view text,
                                                                          char separator) {
    const std::size_t at = text.find(separator);
    if (at == std::string_view::npos) return {text, std::nullopt};
    return {text.substr(0, at), text.substr(at + 1)};
  }

  int number(std::string_view digits) const {
    int value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool whole = error == std::errc() && end == digits.data() + digits.size() && value >= 0;
    if (error != std::errc::result_out_of_range && !whole) {
      refuse(text_, part_, "is no CPU number or range");
    }
    if (!whole || value > kLastCpu) {
      refuse(text_, part_, fmt::format("goes beyond CPU {}, the last that Linux knows", kLastCpu));
    }
    return value;
  }

  std::string_view text_, part_;
};

}  // namespace

std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  for (const std::string_view part : split(text, ',')) {
    RangeParser(text, part).append_to(cpus);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string format_cpu_list(const std::vector<int>& cpus) {
  std::vector<int> sorted = cpus;
  std::sort(sorted.begin(), sorted.end());
  std::string text;
  for (std::size_t begin = 0; begin < sorted.size();) {
    std::size_t end = begin;
    while (end + 1 < sorted.size() && sorted[end + 1] <= sorted[end] + 1) ++end;
    text += text.empty() ? "" : ",";
    text += sorted[end] == sorted[begin] ? fmt::format("{}", sorted[begin])
                                         : fmt::format("{}-{}", sorted[begin], sorted[end]);
    begin = end + 1;
  }
  return text;
}

}  // namespace millrace
