#include "models/pytorch/pickle.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <map>

#include "millrace/errors.hpp"

namespace millrace {

using Kind = PickledValue::Kind;

/// The machine that a pickle is a program for: a stack, marks on it, and a memo.
class Unpickler {
 public:
  Unpickler(std::string_view data, const std::string& origin, Pickle& pickle)
      : data_(data), origin_(origin), pickle_(pickle) {}

  void run() {
    while (!stopped_) step(static_cast<unsigned char>(take(1).front()));
    pickle_.root_ = pop();
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw ConfigError("weights",
                      fmt::format("{}: byte {} of its pickle {}: is it a state dict that "
                                  "torch.save wrote?",
                                  origin_, at_, problem));
  }

  std::string_view take(std::size_t bytes) {
    if (bytes > data_.size() - at_) {
      fail(fmt::format("needs {} more bytes, {} are left", bytes, data_.size() - at_));
    }
    at_ += bytes;
    return data_.substr(at_ - bytes, bytes);
  }

  /// Little-endian.
  std::uint64_t number(std::size_t bytes) {
    const std::string_view read = take(bytes);
    std::uint64_t value = 0;
    for (std::size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(read[i]);
    return value;
  }

  std::string line() {
    const std::size_t end = data_.find('\n', at_);
    if (end == std::string_view::npos) fail("begins a line without an end");
    const std::string text(take(end - at_));
    take(1);
    return text;
  }

  PickledValue& push(Kind kind) {
    constexpr std::size_t kMostValues = 10'000'000;
    if (pickle_.values_.size() == kMostValues) fail("makes more than 10 million values");
    PickledValue& value = pickle_.values_.emplace_back();
    value.kind = kind;
    stack_.push_back(&value);
    return value;
  }
  void push_integer(std::int64_t value) { push(Kind::integer).integer = value; }
  void push_text(std::uint64_t bytes) {
    const std::string_view text = take(bytes);
    push(Kind::text).text = text;
  }

  PickledValue* pop() {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) fail("takes a value that is not there");
    PickledValue* const value = stack_.back();
    stack_.pop_back();
    return value;
  }

  /// What was pushed since the last mark, which goes.
  std::vector<const PickledValue*> pop_to_mark() {
    if (marks_.empty()) fail("ends a group that was not begun");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const PickledValue*> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }

  PickledValue& top(Kind kind, const char* what) {
    PickledValue* const value = pop();
    stack_.push_back(value);
    if (value->kind != kind) fail(fmt::format("adds to what is no {}", what));
    return *value;
  }

  void push_tuple(std::size_t size) {
    std::vector<const PickledValue*> items(size);
    for (std::size_t i = size; i-- > 0;) items[i] = pop();
    push(Kind::list).items = std::move(items);
  }

  void set_items(const std::vector<const PickledValue*>& values) {
    PickledValue& dict = top(Kind::dict, "dict");
    if (values.size() % 2 != 0) fail("sets a key without a value");
    for (std::size_t i = 0; i < values.size(); i += 2)
      dict.pairs.emplace_back(values[i], values[i + 1]);
  }

  void append(const std::vector<const PickledValue*>& values) {
    PickledValue& list = top(Kind::list, "list");
    list.items.insert(list.items.end(), values.begin(), values.end());
  }

  void push_global(const std::string& module, const std::string& name) {
    push(Kind::global).text = module + "." + name;
  }

  /// Ordered dicts become dicts; every other call stays one.
  void reduce() {
    const PickledValue* const arguments = pop();
    const PickledValue* const callee = pop();
    if (callee->kind == Kind::global && callee->text == "collections.OrderedDict") {
      push(Kind::dict);
      return;
    }
    push(Kind::call).items = {callee, arguments};
  }

  void remember(std::uint64_t key) {
    PickledValue* const value = pop();
    stack_.push_back(value);
    memo_[key] = value;
  }
  void recall(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fail("recalls what was not remembered");
    stack_.push_back(found->second);
  }

  void step(unsigned char instruction) {
    if (instruction == 0x81) {  // an object of a class that only its own program knows
      throw ConfigError("weights", origin_ +
                                       ": holds objects, not tensors alone: save "
                                       "model.state_dict(), not the model");
    }
    if (!push_value(instruction) && !build(instruction) && !memo(instruction))
      fail(fmt::format("has the instruction 0x{:02x}, which is not known here", instruction));
  }

  /// Instructions that put one new value on the stack.
  bool push_value(unsigned char instruction) {
    switch (instruction) {  // clang-format off
      case 'N': push(Kind::none); return true;
      case 0x88: case 0x89: push(Kind::boolean).integer = instruction == 0x88; return true;
      case 'J': push_integer(static_cast<std::int32_t>(number(4))); return true;
      case 'K': push_integer(static_cast<std::int64_t>(number(1))); return true;
      case 'M': push_integer(static_cast<std::int64_t>(number(2))); return true;
      case 0x8a: push_long(number(1)); return true;
      case 'G': push_real(); return true;
      case 'X': case 'B': case 'T': push_text(number(4)); return true;
      case 0x8c: case 'C': case 'U': push_text(number(1)); return true;
      case 0x8d: case 0x8e: push_text(number(8)); return true;
      case '}': push(Kind::dict); return true;
      case ']': case ')': case 0x8f: push(Kind::list); return true;
      default: return false;
    }  // clang-format on
  }

  /// Instructions that take values off the stack.
  bool build(unsigned char instruction) {
    switch (instruction) {  // clang-format off
      case '(': marks_.push_back(stack_.size()); return true;
      case 0x85: case 0x86: case 0x87: push_tuple(instruction - 0x84U); return true;
      case 't': push_list(pop_to_mark()); return true;
      case 'u': set_items(pop_to_mark()); return true;
      case 's': set_pair(); return true;
      case 'e': case 0x90: append(pop_to_mark()); return true;
      case 'a': append({pop()}); return true;
      case 'R': reduce(); return true;
      case 'b': pop(); return true;  // attributes, which state dicts keep versions in
      case 'Q': push_persistent(pop()); return true;
      case '0': pop(); return true;
      default: return false;
    }  // clang-format on
  }

  bool memo(unsigned char instruction) {
    switch (instruction) {  // clang-format off
      case 0x80: number(1); return true;  // protocol
      case 0x95: number(8); return true;  // frame
      case 'q': remember(number(1)); return true;
      case 'r': remember(number(4)); return true;
      case 0x94: remember(memo_.size()); return true;
      case 'h': recall(number(1)); return true;
      case 'j': recall(number(4)); return true;
      case 'c': push_named_global(); return true;
      case 0x93: push_stacked_global(); return true;
      case '.': stopped_ = true; return true;
      default: return false;
    }  // clang-format on
  }

  void push_long(std::uint64_t bytes) {
    if (bytes > 8) fail(fmt::format("has a number of {} bytes", bytes));
    std::uint64_t value = number(bytes);
    const bool negative = bytes > 0 && (value >> (8 * bytes - 1) & 1) != 0;
    if (negative && bytes < 8) value |= ~std::uint64_t{0} << (8 * bytes);
    push_integer(static_cast<std::int64_t>(value));
  }

  void push_real() {  // big-endian
    std::uint64_t bits = 0;
    for (const char byte : take(8)) bits = bits << 8 | static_cast<unsigned char>(byte);
    push(Kind::real).real = std::bit_cast<double>(bits);
  }

  void push_list(std::vector<const PickledValue*> items) {
    push(Kind::list).items = std::move(items);
  }

  void push_persistent(const PickledValue* identifier) {
    push(Kind::persistent).items = {identifier};
  }

  void set_pair() {
    const PickledValue* const value = pop();
    const PickledValue* const key = pop();
    set_items({key, value});
  }

  void push_named_global() {
    const std::string module = line();
    push_global(module, line());
  }

  void push_stacked_global() {
    const PickledValue* const name = pop();
    const PickledValue* const module = pop();
    push_global(module->text, name->text);
  }

  std::string_view data_;
  const std::string& origin_;
  Pickle& pickle_;
  std::size_t at_ = 0;
  bool stopped_ = false;
  std::vector<PickledValue*> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint64_t, PickledValue*> memo_;
};

Pickle::Pickle(std::string_view data, const std::string& origin) {
  Unpickler(data, origin, *this).run();
}

}  // namespace millrace
