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

thread_local DiskWaits t_waits;

/// pread() that counts as a wait where the bytes are not in memory.
ssize_t read_some(int file, const iovec& part, off_t offset) {
  const ssize_t cached = preadv2(file, &part, 1, offset, RWF_NOWAIT);
  if (cached > 0) return cached;
  const bool waits = cached < 0 && errno == EAGAIN;
  const auto begin = std::chrono::steady_clock::now();
  const ssize_t count = pread(file, part.iov_base, part.iov_len, offset);
  if (waits) {
    ++t_waits.count;
    t_waits.ns += std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
  }
  return count;
}

}  // namespace

std::vector<std::uint8_t> read_image_file(const std::string& file) {
  const File opened(file);
  struct stat status {};
  if (opened.get() < 0 || fstat(opened.get(), &status) != 0) unreadable(file);
  if (!S_ISREG(status.st_mode)) refuse_image(file, "cannot be read: it is not a regular file");
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = read_some(opened.get(), {bytes.data() + done, bytes.size() - done},
                                    static_cast<off_t>(done));
    if (count < 0 && errno != EINTR) unreadable(file);
    if (count == 0) break;  // cut short meanwhile: the decoder says so
    done += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  }
  bytes.resize(done);
  return bytes;
}

DiskWaits disk_waits_of_this_thread() { return t_waits; }

void prefetch_file(const std::string& file) {
  const File opened(file);
  if (opened.get() >= 0) posix_fadvise(opened.get(), 0, 0, POSIX_FADV_WILLNEED);
}

}  // namespace millrace
