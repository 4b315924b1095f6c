#pragma once
// Python's pickles, read as data: nothing that they name is ever called.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace {

/// A value of a pickle. Which members count depends on the kind.
struct PickledValue {
  enum class Kind {
    none,
    boolean,     ///< integer: 0 or 1
    integer,     ///< integer
    real,        ///< real
    text,        ///< text; bytes, too
    list,        ///< items; tuples and sets, too
    dict,        ///< pairs
    global,      ///< text: "module.name"
    call,        ///< items: what is called (a global), and its arguments (a list)
    persistent,  ///< items: its one identifier
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<const PickledValue*> items;
  std::vector<std::pair<const PickledValue*, const PickledValue*>> pairs;
};

/// Values may refer to each other in circles. Immovable: they point at one another.
class Pickle {
 public:
  /// Protocols 2 to 5, the instructions that dicts of tensors need. Throws ConfigError (tag
  /// "weights") naming `origin`, the byte and what is wrong there.
  Pickle(std::string_view data, const std::string& origin);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickledValue& root() const { return *root_; }

 private:
  friend class Unpickler;
  std::deque<PickledValue> values_;
  const PickledValue* root_ = nullptr;
};

}  // namespace millrace
