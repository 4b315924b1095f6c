#include "models/data/image_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "models/data/codecs.hpp"

namespace millrace {
namespace {

/// Open for reading; what is no file (a pipe, for one) is not waited for.
class File {
 public:
  explicit File(const std::string& name)
      : descriptor_(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

[[noreturn]] void unreadable(const std::string& file) {
  refuse_image(file, std::string("cannot be read: ") + std::strerror(errno));
}

/// What is in memory of the rest of the file; 0: nothing, or the file system cannot tell.
ssize_t read_cached(int file, iovec part, off_t offset) {
  const ssize_t count = preadv2(file, &part, 1, offset, RWF_NOWAIT);
  return count < 0 ? 0 : count;
}

}  // namespace

FileBytes read_image_file(const std::string& file) {
  const File opened(file);
  struct stat status {};
  if (opened.get() < 0 || fstat(opened.get(), &status) != 0) unreadable(file);
  if (!S_ISREG(status.st_mode)) refuse_image(file, "cannot be read: it is not a regular file");
  FileBytes result{std::vector<std::uint8_t>(static_cast<std::size_t>(status.st_size)), 0};
  std::size_t done = 0;
  while (done < result.bytes.size()) {
    const iovec rest{result.bytes.data() + done, result.bytes.size() - done};
    ssize_t count = read_cached(opened.get(), rest, static_cast<off_t>(done));
    if (count == 0) {
      const auto begin = std::chrono::steady_clock::now();
      count = pread(opened.get(), rest.iov_base, rest.iov_len, static_cast<off_t>(done));
      result.wait_ns += std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
    }
    if (count < 0 && errno != EINTR) unreadable(file);
    if (count == 0) break;  // cut short meanwhile: the decoder says so
    done += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  }
  result.bytes.resize(done);
  return result;
}

void prefetch_file(const std::string& file) {
  const File opened(file);
  if (opened.get() >= 0) posix_fadvise(opened.get(), 0, 0, POSIX_FADV_WILLNEED);
}

}  // namespace millrace
