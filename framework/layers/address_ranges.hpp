#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace millrace {

struct AddressRange {
  std::uintptr_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
};

/// Ranges of addresses that do not touch each other: one inserted beside another joins it.
class AddressRanges {
 public:
  void insert(AddressRange range);
  /// Of the one that begins there, which it returns.
  AddressRange erase(std::uintptr_t begin);
  /// The lowest of at least `size` bytes; AddressRange{} where there is none.
  AddressRange first_of(std::size_t size) const;
  /// The one that all of `part` is in; AddressRange{} where there is none.
  AddressRange around(AddressRange part) const;
  /// The one that ends at `end`; AddressRange{} where there is none.
  AddressRange ending_at(std::uintptr_t end) const;
  /// By address.
  std::vector<AddressRange> all() const;
  std::size_t bytes() const { return bytes_; }

 private:
  std::map<std::uintptr_t, std::uintptr_t> end_of_;  // by begin
  std::size_t bytes_ = 0;
};

}  // namespace millrace
