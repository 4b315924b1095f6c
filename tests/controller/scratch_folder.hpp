#pragma once
// A folder of its own for each test, and the faults that disks have.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace millrace {

class ScratchFolder : public ::testing::Test {
 protected:
  ScratchFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "millrace-test.XXXXXX").string();
    scratch_ = ::mkdtemp(pattern.data());
  }
  ~ScratchFolder() override { std::filesystem::remove_all(scratch_); }

  std::filesystem::path scratch_;
};

/// Files cannot grow beyond `bytes` while it lives: write() fails as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

/// In a death test's child: permissions bind root too once it has become nobody.
inline void give_up_root() {
  constexpr uid_t kNobody = 65534;
  if (::geteuid() == 0 && ::setuid(kNobody) != 0) ::_exit(1);
}

}  // namespace millrace
