#include "controller/cli/bench/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "framework/topology/blas_core.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

constexpr std::array<std::string_view, 14> kRemoved = {
    "OMP_",       "GOMP_",    "KMP_",    "OPENBLAS_", "GOTO_",   "BLIS_",
    "MKL_",       "DNNL_",    "ONEDNN_", "VECLIB_",   "MALLOC_", "ATEN_CPU_CAPABILITY",
    "LD_PRELOAD", "TCMALLOC_"};

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  void close() {
    if (value_ >= 0) ::close(value_);
    value_ = -1;
  }

 private:
  int value_;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void fail(const std::string& what) {
  throw ResourceError("bench", what + ": " + std::strerror(errno));
}

/// In the child: only calls that are safe after fork.
[[noreturn]] void become(char* const* command, char* const* environment, const cpu_set_t* mask,
                         int output, const char* errors, pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);  // it has ended before
  if (mask != nullptr && sched_setaffinity(0, sizeof(*mask), mask) != 0) _exit(126);
  if (dup2(output, STDOUT_FILENO) < 0) _exit(126);
  if (errors != nullptr) {
    const int file = ::open(errors, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file < 0 || dup2(file, STDERR_FILENO) < 0) _exit(126);
  }
  execve(command[0], command, environment);
  _exit(127);
}

/// Appends what there is to read; false at the end.
bool read_some(int descriptor, std::string& text) {
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    return true;
  }
}

/// Of the dynamic loader and of become(), where a program cannot be started.
constexpr int kNotStarted = 127;

/// The program has said why on standard error.
[[noreturn]] void report_failure(const std::string& program, int status) {
  if (WIFEXITED(status)) {
    const int code = WEXITSTATUS(status);
    for (const ExitCode own : {ExitCode::user, ExitCode::no_plan, ExitCode::resource}) {
      if (code == static_cast<int>(own)) throw Error(own, "bench", program + " failed, see above");
    }
    if (code == kNotStarted) {
      throw ResourceError("bench",
                          fmt::format("{} could not be loaded, see above: is there too "
                                      "little memory (ulimit -v), or is a library missing?",
                                      program));
    }
    throw InternalError("bench", fmt::format("{} ended with exit code {}", program, code));
  }
  throw InternalError("bench", fmt::format("{} was killed by signal {} ({})", program,
                                           WTERMSIG(status), strsignal(WTERMSIG(status))));
}

}  // namespace

std::map<std::string, std::string> clean_environment() {
  std::map<std::string, std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const bool removed = std::any_of(kRemoved.begin(), kRemoved.end(),
                                     [&](std::string_view name) { return text.starts_with(name); });
    const auto split = text.find('=');
    if (!removed && split != std::string_view::npos) {
      result.emplace(text.substr(0, split), text.substr(split + 1));
    }
  }
  static const auto blas_core = faster_blas_core();
  if (blas_core) result["OPENBLAS_CORETYPE"] = *blas_core;
  return result;
}

std::mutex Process::starting_;
pid_t Process::running_ = -1;

Process::Process(const ProcessSpec& spec) : program_(spec.command.front()) {
  std::vector<std::string> command = spec.command, variables;
  auto environment = clean_environment();
  for (const auto& [name, value] : spec.environment) environment[name] = value;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  const auto arguments = pointers(command), settings = pointers(variables);
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int cpu : spec.cpus) CPU_SET(cpu, &mask);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe");
  const Descriptor writing(ends[1]);
  reading_ = ends[0];
  const pid_t parent = getpid();
  const std::scoped_lock lock(starting_);
  child_ = fork();
  if (child_ == 0) {
    become(arguments.data(), settings.data(), spec.cpus.empty() ? nullptr : &mask, writing.get(),
           spec.errors.empty() ? nullptr : spec.errors.c_str(), parent);
  }
  if (child_ < 0) {
    ::close(reading_);
    fail("cannot start " + program_);
  }
  running_ = child_;
}

Process::~Process() {
  if (child_ > 0) {
    const std::scoped_lock lock(starting_);
    running_ = -1;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  ::close(reading_);
}

/// Its output ends with it; what comes until then is read, so that it never waits for us.
bool Process::ends_within(int milliseconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd ready{reading_, POLLIN, 0};
    const int found = ::poll(&ready, 1, std::max(0, static_cast<int>(left.count())));
    if (found == 0) return false;
    if (found > 0 && !read_some(reading_, output_)) return true;
    if (found < 0 && errno != EINTR) fail("cannot wait for " + program_);
  }
}

void Process::kill() {
  ::kill(child_, SIGKILL);
  killed_ = true;
}

ProcessResult Process::finish() {
  while (read_some(reading_, output_)) {
  }
  siginfo_t ended{};
  while (waitid(P_PID, static_cast<id_t>(child_), &ended, WEXITED | WNOWAIT) < 0 &&
         errno == EINTR) {
  }
  const std::scoped_lock lock(starting_);  // its number is its own until it is waited for
  int status = 0;
  rusage usage{};
  while (wait4(child_, &status, 0, &usage) < 0) {
    if (errno != EINTR) fail("cannot wait for " + program_);
  }
  running_ = child_ = -1;
  const bool as_asked = killed_ && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (status != 0 && !as_asked) report_failure(program_, status);
  return {std::move(output_), static_cast<std::int64_t>(usage.ru_maxrss) * 1024};
}

void Process::halt_running() {
  starting_.lock();  // for good
  if (running_ < 0) return;
  ::kill(running_, SIGSTOP);
  siginfo_t halted{};
  waitid(P_PID, static_cast<id_t>(running_), &halted, WSTOPPED | WEXITED | WNOWAIT);
}

ProcessResult run_process(const ProcessSpec& spec) { return Process(spec).finish(); }

}  // namespace millrace::cli
