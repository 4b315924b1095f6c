#pragma once
// Reads the table "Who may include what" of docs/architecture.md and holds #include lines against it.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace millrace::rules {

struct PartRule {
  std::set<std::string> parts;      ///< other parts that may be included
  std::set<std::string> libraries;  ///< "torch", "hwloc", …
};

using RuleTable = std::map<std::string, PartRule>;

struct Include {
  std::string file;    ///< path from the repository root
  int line = 0;
  std::string target;  ///< what stands between the quotes or brackets
};

/// Rows of the first table whose header is "| part | parts | libraries |".
RuleTable read_table(const std::string& markdown);

/// The part that a file belongs to: the longest prefix of its folder that the table names; "" where
/// no row covers it. Public headers belong to the part of their name.
std::string part_of(const std::string& file, const RuleTable& table);

/// "torch", "hwloc", …, "" for the standard library, POSIX and our own headers.
std::string library_of(const std::string& target);

/// All #include lines below the folders that the table names.
std::vector<Include> collect_includes(const std::filesystem::path& root, const RuleTable& table);

/// Why `include` breaks the table; "" where it does not.
std::string violation(const Include& include, const RuleTable& table);

/// What the table allows and none of `includes` needs: "framework/plan may use json".
std::vector<std::string> unused_grants(const std::vector<Include>& includes,
                                       const RuleTable& table);

}  // namespace millrace::rules
