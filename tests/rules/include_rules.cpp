#include "tests/rules/include_rules.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <utility>

namespace millrace::rules {
namespace {

std::set<std::string> words(const std::string& cell) {
  std::istringstream stream(cell);
  std::set<std::string> result;
  for (std::string word; stream >> word;) {
    result.insert(word == "base" ? "framework/base" : word);
  }
  return result;
}

std::vector<std::string> cells(const std::string& row) {
  std::vector<std::string> result;
  std::istringstream stream(row.substr(1));
  for (std::string cell; std::getline(stream, cell, '|');) result.push_back(cell);
  return result;
}

std::string without_marks(std::string text) {
  std::erase_if(text, [](char c) { return c == '`' || c == ' '; });
  return text;
}

bool starts_with_any(const std::string& text, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return text.starts_with(prefix); });
}

const std::vector<std::pair<std::string, std::vector<std::string>>>& library_prefixes() {
  static const std::vector<std::pair<std::string, std::vector<std::string>>> table = {
      {"torch", {"torch/", "ATen/", "c10/", "caffe2/"}},
      {"hwloc", {"hwloc"}},
      {"opencl", {"CL/"}},
      {"onednn", {"dnnl", "oneapi/dnnl"}},
      {"highway", {"hwy/"}},
      {"openmp", {"omp.h"}},
      {"tbb", {"tbb/", "oneapi/tbb"}},
      {"json", {"nlohmann/"}},
      {"fmt", {"fmt/"}},
      {"spdlog", {"spdlog/"}},
      {"cli11", {"CLI/"}},
      {"toml", {"toml++/"}},
      {"httplib", {"httplib.h"}},
      {"jpeg", {"jpeglib.h", "jerror.h", "turbojpeg.h"}},
      {"png", {"png.h", "pngconf.h"}},
      {"zlib", {"zlib.h"}},
      {"systemd", {"systemd/"}},
      {"onnx", {"onnx/"}},
      {"protobuf", {"google/protobuf/"}},
      {"benchmark", {"benchmark/"}},
      {"gtest", {"gtest/", "gmock/"}},
      {"clock", {"chrono"}},
      {"threads", {"thread", "mutex", "condition_variable", "future", "barrier", "semaphore"}}};
  return table;
}

/// Public headers whose part does not follow from "framework/<name>".
const std::map<std::string, std::string>& public_headers() {
  static const std::map<std::string, std::string> table = {{"errors", "framework/base"},
                                                           {"units", "framework/base"},
                                                           {"log", "framework/base"},
                                                           {"optimizer", "framework/base"},
                                                           {"safetensors", "framework/base"},
                                                           {"state", "framework/base"},
                                                           {"profiler", "framework/profile"},
                                                           {"stage", "framework/base"},
                                                           {"step_report", "framework/execute"},
                                                           {"model", "framework/layers"},
                                                           {"joins", "framework/layers"},
                                                           {"sequence", "framework/layers"},
                                                           {"plain_forward", "framework/layers"},
                                                           {"train_step", "framework"},
                                                           {"estimate", "controller/estimate"}};
  return table;
}

std::string header_part(const std::string& header) {
  const std::string name = std::filesystem::path(header).stem().string();
  const auto found = public_headers().find(name);
  return found != public_headers().end() ? found->second : "framework/" + name;
}

/// What an include needs a grant for: another part or a library; neither where both are empty.
struct Need {
  std::string part, library;
};

/// `own`: the part that includes.
Need need_of(const Include& include, const std::string& own, const RuleTable& table) {
  const std::string library = library_of(include.target);
  if (!library.empty()) return {"", library};
  std::string part;
  if (include.target.starts_with("millrace/")) {
    part = header_part(include.target);
  } else if (include.target.find('/') != std::string::npos) {
    part = part_of(include.target, table);
  }
  return {part == own ? "" : part, ""};
}

void collect_from(const std::filesystem::path& root, const std::filesystem::path& path,
                  std::vector<Include>& result) {
  std::ifstream stream(path);
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (!line.starts_with("#include")) continue;
    const auto begin = line.find_first_of("<\"");
    const auto end = line.find_first_of(">\"", begin + 1);
    if (begin == std::string::npos || end == std::string::npos) continue;
    result.push_back({std::filesystem::relative(path, root).string(), number,
                      line.substr(begin + 1, end - begin - 1)});
  }
}

}  // namespace

RuleTable read_table(const std::string& markdown) {
  RuleTable table;
  std::istringstream stream(markdown);
  bool inside = false;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("| part | parts | libraries |")) {
      inside = true;
    } else if (inside && !line.starts_with("|")) {
      break;
    } else if (inside && !line.starts_with("|---")) {
      const auto row = cells(line);
      table[without_marks(row.at(0))] = {words(row.at(1)), words(row.at(2))};
    }
  }
  return table;
}

std::string part_of(const std::string& file, const RuleTable& table) {
  if (file.find("include/millrace/") != std::string::npos) return header_part(file);
  for (auto folder = std::filesystem::path(file).parent_path(); !folder.empty();
       folder = folder.parent_path()) {
    if (table.contains(folder.string())) return folder.string();
  }
  return "";
}

std::string library_of(const std::string& target) {
  for (const auto& [library, prefixes] : library_prefixes()) {
    const bool exact = library == "clock" || library == "threads";
    const bool matches = exact
                             ? std::find(prefixes.begin(), prefixes.end(), target) != prefixes.end()
                             : starts_with_any(target, prefixes);
    if (matches) return library;
  }
  return "";
}

std::vector<Include> collect_includes(const std::filesystem::path& root, const RuleTable& table) {
  std::set<std::string> tops;
  for (const auto& [part, rule] : table) tops.insert(part.substr(0, part.find('/')));
  std::vector<Include> result;
  for (const auto& top : tops) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (extension == ".cpp" || extension == ".hpp" || extension == ".h")
        collect_from(root, entry.path(), result);
    }
  }
  return result;
}

std::string violation(const Include& include, const RuleTable& table) {
  const std::string part = part_of(include.file, table);
  const auto rule = table.find(part);
  if (rule == table.end()) return "no row of the table covers " + include.file;
  const Need need = need_of(include, part, table);
  if (!need.library.empty() && !rule->second.libraries.contains(need.library))
    return part + " may not use " + need.library;
  if (!need.part.empty() && !rule->second.parts.contains(need.part))
    return part + " may not include " + need.part;
  return "";
}

std::vector<std::string> unused_grants(const std::vector<Include>& includes,
                                       const RuleTable& table) {
  RuleTable unused = table;
  for (const Include& include : includes) {
    const std::string part = part_of(include.file, table);
    const auto rule = unused.find(part);
    if (rule == unused.end()) continue;
    const Need need = need_of(include, part, table);
    rule->second.parts.erase(need.part);
    rule->second.libraries.erase(need.library);
  }
  std::vector<std::string> result;
  for (const auto& [part, rule] : unused) {
    for (const std::string& other : rule.parts) result.push_back(part + " may include " + other);
    for (const std::string& library : rule.libraries)
      result.push_back(part + " may use " + library);
  }
  return result;
}

}  // namespace millrace::rules
