#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

constexpr int kMostMicroBatches = 1'000'000;

bool is_kind(char letter) {
  return std::string_view("FBWRU").find(letter) != std::string_view::npos;
}

/// Takes a number off the front of `text`; -1 where there is none or it is too large.
int take_number(std::string_view& text) {
  int value = -1;
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) == 0) return -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
  return parsed.ec == std::errc{} && value < kMostMicroBatches ? value : -1;
}

/// Walks through the text and knows the place for messages.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool at_end() const { return text_.empty(); }

  /// `stage`: whose actions alone may stand there; absent: those of any.
  std::vector<Action> line(std::optional<int> stage) {
    const auto length = text_.find('\n');
    rest_ = text_.substr(0, length);
    line_length_ = rest_.size();
    text_.remove_prefix(length == std::string_view::npos ? text_.size() : length + 1);
    ++line_;
    std::vector<Action> actions;
    for (skip_blanks(); !rest_.empty(); skip_blanks()) actions.push_back(action(stage));
    if (actions.empty())
      fail("", (stage ? "the line of stage " + std::to_string(*stage) : std::string("the line")) +
                   " is empty");
    return actions;
  }

 private:
  void skip_blanks() {
    const auto length = std::min(rest_.find_first_not_of(" \t\r"), rest_.size());
    rest_.remove_prefix(length);
  }

  Action action(std::optional<int> stage) {
    const std::string_view word = rest_.substr(0, rest_.find_first_of(" \t\r"));
    std::string_view left = word;
    Action result;
    result.stage = take_number(left);
    if (result.stage < 0 || left.empty() || !is_kind(left.front())) refuse(word);
    result.kind = static_cast<ActionKind>(left.front());
    left.remove_prefix(1);
    if (has_micro_batch(result.kind)) result.micro_batch = take_number(left);
    if (result.micro_batch < 0 || !left.empty()) refuse(word);
    if (stage && result.stage != *stage) {
      fail(word, "is of stage " + std::to_string(result.stage) + ", this line is stage " +
                     std::to_string(*stage) + "'s: one line per stage, from stage 0 on");
    }
    rest_.remove_prefix(word.size());
    return result;
  }

  [[noreturn]] void refuse(std::string_view word) const {
    fail(word,
         "is no action: write stage, letter and micro-batch as in 2F0, 2B0 or 2W0, 2R or "
         "2U, numbers below " +
             std::to_string(kMostMicroBatches));
  }

  [[noreturn]] void fail(std::string_view word, const std::string& reason) const {
    const std::size_t column = line_length_ - rest_.size() + 1;
    const std::string quoted = word.empty() ? "" : "\"" + std::string(word) + "\" ";
    throw ConfigError("schedule", "line " + std::to_string(line_) + ", column " +
                                      std::to_string(column) + ": " + quoted + reason);
  }

  std::string_view text_;  // the lines after this one
  std::string_view rest_;  // of this line
  std::size_t line_length_ = 0;
  int line_ = 0;
};

/// On which line each stage has its actions.
std::vector<int> lanes_of(const std::vector<std::vector<Action>>& lines) {
  std::map<int, int> line_of;
  for (int line = 0; line < static_cast<int>(lines.size()); ++line) {
    for (const Action& action : lines[static_cast<std::size_t>(line)]) {
      const auto [place, is_new] = line_of.try_emplace(action.stage, line);
      if (place->second != line)
        throw ConfigError("schedule", "line " + std::to_string(line + 1) + ": " + to_text(action) +
                                          " is of a stage that line " +
                                          std::to_string(place->second + 1) +
                                          " has: all actions of a stage stand on one line");
    }
  }
  std::vector<int> lanes;
  for (const auto& [stage, line] : line_of) {
    if (stage != static_cast<int>(lanes.size()))
      throw ConfigError("schedule", "the text has actions of stage " + std::to_string(stage) +
                                        " and none of stage " + std::to_string(lanes.size()) +
                                        ": number the stages from 0 on");
    lanes.push_back(line);
  }
  return lanes;
}

}  // namespace

std::string to_text(const Action& action) {
  const std::string text = std::to_string(action.stage) + static_cast<char>(action.kind);
  return has_micro_batch(action.kind) ? text + std::to_string(action.micro_batch) : text;
}

std::string to_text(const Schedule& schedule) {
  std::string text;
  for (const auto& actions : schedule.actions) {
    for (const Action& action : actions) {
      if (&action != &actions.front()) text += ' ';
      text += to_text(action);
    }
    text += '\n';
  }
  return text;
}

Schedule parse_schedule(std::string_view text, std::string_view name) {
  Schedule schedule{std::string(name), 0, {}, {}};
  Reader reader(text);
  while (!reader.at_end()) {
    const auto lane = static_cast<int>(schedule.actions.size());
    schedule.actions.push_back(reader.line(takes_shared_lanes(name) ? std::optional<int>() : lane));
    for (const Action& action : schedule.actions.back()) {
      schedule.micro_batches = std::max(schedule.micro_batches, action.micro_batch + 1);
    }
  }
  if (schedule.actions.empty()) {
    throw ConfigError("schedule",
                      "the text is empty: a schedule has one line of actions per stage");
  }
  schedule.lanes = lanes_of(schedule.actions);
  return schedule;
}

}  // namespace millrace
