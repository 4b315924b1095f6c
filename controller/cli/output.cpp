#include "controller/cli/output.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace::cli {

void print(std::string_view text) {
  const bool ended = text.ends_with('\n');
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
                       (ended || std::fputc('\n', stdout) != EOF) && std::fflush(stdout) == 0;
  if (!written) {
    throw ResourceError("output",
                        std::string("cannot write to standard output: ") + std::strerror(errno));
  }
}

std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void require_folder_of(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (folder.empty() || std::filesystem::is_directory(folder)) return;
  throw ResourceError("output", "cannot write " + file + ": there is no folder " + folder.string() +
                                    ": make it first");
}

void save(const std::string& file, std::string_view text) {
  write_file_atomically(file, text, "output");
  log_info("output", "wrote " + file);
}

}  // namespace millrace::cli
