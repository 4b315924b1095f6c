#include "models/data/generated_folder.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void cannot_write(const fs::path& path, const std::string& reason) {
  throw ResourceError("data", path.string() + ": cannot be written: " + reason +
                                  "; choose another folder or free space");
}

/// A folder that is removed unless it got its final name.
class UnfinishedFolder {
 public:
  explicit UnfinishedFolder(const fs::path& target)
      : path_(target.string() + ".unfinished-" + std::to_string(::getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~UnfinishedFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Absolute, so that the unfinished folder stands beside it and not inside.
fs::path without_trailing_slash(const std::string& folder) {
  if (folder.empty()) throw ConfigError("data", "the folder for the data has no name");
  const fs::path path = fs::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

/// Names the settings that a folder was made with; written last, so that it says "complete", too.
fs::path manifest_of(const fs::path& folder, const GeneratedSet& set) {
  return folder / (set.kind + ".txt");
}

/// True where the set is there already; false where it can be made.
bool is_there(const fs::path& folder, const GeneratedSet& set) {
  if (!fs::exists(folder)) return false;
  if (fs::is_directory(folder) && fs::is_empty(folder)) return false;
  std::stringstream found;
  found << std::ifstream(manifest_of(folder, set)).rdbuf();
  if (found.str() == set.manifest && set.is_whole(folder)) return true;
  std::string holds = "something else";
  if (found.str().starts_with("millrace " + set.kind)) {
    holds = found.str() == set.manifest ? "an incomplete set" : found.str();
  }
  while (holds.ends_with('\n')) holds.pop_back();
  throw ConfigError("data", folder.string() + " holds " + holds + ", asked for is " +
                                set.manifest.substr(0, set.manifest.size() - 1) +
                                ": remove the folder or choose another");
}

}  // namespace

void write_generated(const fs::path& path, const void* data, std::size_t size) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  stream.close();
  if (!stream) cannot_write(path, std::strerror(errno));
}

bool make_generated(const std::string& folder, const GeneratedSet& set) {
  try {
    const fs::path target = without_trailing_slash(folder);
    if (is_there(target, set)) return false;
    const UnfinishedFolder unfinished(target);
    set.write(unfinished.path());
    write_generated(manifest_of(unfinished.path(), set), set.manifest.data(), set.manifest.size());
    fs::rename(unfinished.path(), target);
  } catch (const fs::filesystem_error& error) {
    cannot_write(folder, error.code().message());
  }
  return true;
}

}  // namespace millrace
