#include "framework/base/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "millrace/errors.hpp"

namespace millrace {

std::string read_file(const std::filesystem::path& path, const std::string& tag) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw ConfigError(tag, fmt::format("{} is a folder, a file is needed", path.string()));
  }
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    throw ConfigError(tag, fmt::format("cannot read {}: {}: check the name and the permissions",
                                       path.string(), std::strerror(errno)));
  }
  std::ostringstream content;
  content << stream.rdbuf();
  return content.str();
}

namespace {

namespace fs = std::filesystem;

/// A pipe or a device, such as /dev/stdout, is written to; a rename would replace it.
bool is_special(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_regular_file(path, error) &&
         !fs::is_directory(path, error);
}

void write_special(const fs::path& path, std::string_view content, const std::string& tag) {
  std::ofstream stream(path, std::ios::binary);
  if (stream.write(content.data(), static_cast<std::streamsize>(content.size())).flush()) return;
  throw ResourceError(tag, fmt::format("cannot write {}: {}: choose another file", path.string(),
                                       std::strerror(errno)));
}

/// What a symbolic link names, so that the link stays.
fs::path target_of(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::is_symlink(path, error) ? fs::weakly_canonical(path, error) : path;
  return error || target.empty() ? path : target;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::string_view content,
                           const std::string& tag) {
  if (is_special(path)) return write_special(path, content, tag);
  AtomicFile file(path, tag);
  file.write(content.data(), content.size());
  file.commit();
}

void replace_file(const std::filesystem::path& path, std::string_view content,
                  const std::string& tag) {
  AtomicFile file(path, tag);
  file.write(content.data(), content.size());
  file.replace();
}

bool overwrite_file(const std::filesystem::path& path, std::string_view content) {
  const auto size = static_cast<ssize_t>(content.size());
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool written = ::write(descriptor, content.data(), content.size()) == size &&
                       ::ftruncate(descriptor, size) == 0;
  return ::close(descriptor) == 0 && written;
}

AtomicFile::AtomicFile(std::filesystem::path path, std::string tag)
    : path_(target_of(path)), tag_(std::move(tag)) {
  if (is_special(path_)) {
    throw ConfigError(tag_, fmt::format("{} is a pipe or a device, a file is needed: name another",
                                        path_.string()));
  }
  // The process number keeps two writers apart; a leftover of a killed one is written over.
  temporary_ = path_.string() + fmt::format(".{}.tmp", ::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("cannot create");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!renamed_) ::unlink(temporary_.c_str());
}

void AtomicFile::rewrite_beginning(std::string_view data) {
  const off_t end = ::lseek(descriptor_, 0, SEEK_CUR);
  if (end < 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) fail("cannot write");
  write(data.data(), data.size());
  if (::lseek(descriptor_, end, SEEK_SET) != end) fail("cannot write");
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write");
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::replace() {
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot close");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot rename to its name");
  renamed_ = true;
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("cannot flush");
  replace();
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail("cannot open the folder of");
  const int result = ::fsync(directory);
  ::close(directory);
  if (result != 0) fail("cannot flush the folder of");
}

void AtomicFile::fail(const std::string& what) const {
  const int reason = errno;
  std::string remedy = "check the permissions";
  if (reason == ENOSPC || reason == EDQUOT) remedy = "free some space or choose another folder";
  if (reason == ENOENT) remedy = "create its folder first";
  if (reason == EROFS) remedy = "choose a folder that can be written to";
  throw ResourceError(
      tag_, fmt::format("{} {}: {}: {}", what, path_.string(), std::strerror(reason), remedy));
}

}  // namespace millrace
