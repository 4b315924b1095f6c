#include "framework/base/safetensors_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "framework/base/json_reader.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using Entry = SafetensorsFile::Entry;

constexpr const char* kTag = "safetensors";
constexpr const char* kMetadata = "__metadata__";
constexpr std::int64_t kAlignment = 8;
constexpr int kDeepest = 3;  // root object, one tensor, its lists

[[noreturn]] void refuse(const std::string& origin, const std::string& problem) {
  throw ConfigError(kTag, fmt::format("{}: {}: get or write the file anew", origin, problem));
}

int bytes_of(std::string_view dtype) {
  static const std::map<std::string_view, int> table = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"I64", 8}, {"U64", 8},     {"F64", 8}};
  const auto found = table.find(dtype);
  return found == table.end() ? 0 : found->second;
}

/// JSON that names a key twice is read differently by different readers, so it is refused, and so
/// is nesting that the format does not have (a deep one would exhaust memory before any check).
json parse_strictly(std::string_view text, const std::string& origin) {
  std::vector<std::set<std::string>> keys(kDeepest + 1);
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > kDeepest) refuse(origin, "the header is nested deeper than the format allows");
    auto& seen = keys[static_cast<std::size_t>(depth)];
    if (event == json::parse_event_t::key && !seen.insert(value.get<std::string>()).second) {
      refuse(origin, fmt::format("the key {} is there twice", value.dump()));
    }
    if (event == json::parse_event_t::object_start && depth < kDeepest) {
      keys[static_cast<std::size_t>(depth) + 1].clear();
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    refuse(origin, fmt::format("the header is not JSON: {}", error.what()));
  }
}

std::vector<std::int64_t> integers(JsonReader& reader, const std::string& key) {
  std::vector<std::int64_t> result;
  for (const json& value : reader.array(key)) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > INT64_MAX) {
      reader.fail(key, fmt::format("holds {}, whole numbers from 0 are needed", value.dump()));
    }
    result.push_back(value.get<std::int64_t>());
  }
  return result;
}

Entry read_entry(JsonReader reader, const std::string& name) {
  Entry entry{name, reader.text("dtype"), integers(reader, "shape"), 0, 0};
  const auto offsets = integers(reader, "data_offsets");
  reader.finish();
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    reader.fail("data_offsets", "does not hold begin and end, in this order");
  }
  entry.begin = offsets[0];
  entry.bytes = offsets[1] - offsets[0];
  const std::int64_t wanted = safetensors_bytes(entry.dtype, entry.shape);
  if (wanted < 0) {
    reader.fail("dtype", fmt::format("is \"{}\" of shape [{}], which no known type fits",
                                     entry.dtype, fmt::join(entry.shape, ", ")));
  }
  if (wanted != entry.bytes) {
    reader.fail("data_offsets", fmt::format("span {} bytes, {} of shape [{}] takes {}", entry.bytes,
                                            entry.dtype, fmt::join(entry.shape, ", "), wanted));
  }
  return entry;
}

std::map<std::string, std::string> read_metadata(JsonReader& root) {
  std::map<std::string, std::string> metadata;
  JsonReader reader = root.child(kMetadata);
  for (const auto& item : root.object(kMetadata).items()) {
    metadata[item.key()] = reader.text(item.key());
  }
  return metadata;
}

void check_layout(std::vector<Entry> entries, std::int64_t data_bytes, const std::string& origin) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.bytes) < std::pair(b.begin, b.bytes);
  });
  std::int64_t end = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != end) {
      refuse(origin,
             fmt::format("{} begins at byte {} of the data, the tensor before it ends at {}",
                         entry.name, entry.begin, end));
    }
    end = entry.begin + entry.bytes;
  }
  if (end != data_bytes) {
    refuse(origin, fmt::format("the tensors take {} bytes, the file holds {}: it was cut short or "
                               "something was appended",
                               end, data_bytes));
  }
}

}  // namespace

std::int64_t safetensors_bytes(std::string_view dtype, const std::vector<std::int64_t>& shape) {
  std::int64_t bytes = bytes_of(dtype);
  if (bytes == 0) return -1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(bytes, dimension, &bytes)) return -1;
  }
  return bytes;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, std::int64_t data_bytes,
                                           const std::string& origin) {
  if (!text.starts_with('{')) refuse(origin, "the header does not begin with {");
  const json document = parse_strictly(text, origin);
  SafetensorsHeader header;
  JsonReader root(document, kTag, origin, "");
  for (const auto& item : document.items()) {  // sorted by key
    if (item.key() == kMetadata) {
      header.metadata = read_metadata(root);
    } else {
      header.entries.push_back(read_entry(root.child(item.key()), item.key()));
    }
  }
  check_layout(header.entries, data_bytes, origin);
  return header;
}

std::string safetensors_header_text(const SafetensorsHeader& header) {
  json document = json::object();
  if (!header.metadata.empty()) document[kMetadata] = header.metadata;
  for (const Entry& entry : header.entries) {
    document[entry.name] = {{"dtype", entry.dtype},
                            {"shape", entry.shape},
                            {"data_offsets", {entry.begin, entry.begin + entry.bytes}}};
  }
  // Names come from users' folders: what is no UTF-8 is replaced rather than refused after hours.
  std::string text = document.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return text;
}

}  // namespace millrace
