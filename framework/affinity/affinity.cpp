#include "framework/affinity/affinity.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

// A set of CPUs for the kernel, of any size (cpu_set_t ends at 1024).
class CpuMask {
 public:
  explicit CpuMask(int cpus) : words_(static_cast<std::size_t>(cpus) / CPU_SETSIZE + 1) {
    for (cpu_set_t& word : words_) CPU_ZERO(&word);
  }

  std::size_t bytes() const { return words_.size() * sizeof(cpu_set_t); }
  int size() const { return static_cast<int>(words_.size()) * CPU_SETSIZE; }
  cpu_set_t* data() { return words_.data(); }
  void add(int cpu) { CPU_SET_S(static_cast<std::size_t>(cpu), bytes(), data()); }
  bool has(int cpu) { return CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes(), data()); }

 private:
  std::vector<cpu_set_t> words_;
};

std::vector<int> sorted(std::vector<int> cpus) {
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

// False where the kernel refuses the mask.
bool apply(const std::vector<int>& cpus) {
  CpuMask mask(cpus.back());
  for (const int cpu : cpus) mask.add(cpu);
  return ::sched_setaffinity(0, mask.bytes(), mask.data()) == 0;
}

[[noreturn]] void refuse(const std::vector<int>& wanted, const std::vector<int>& got,
                         const std::vector<int>& before) {
  std::vector<int> missing;
  std::set_difference(wanted.begin(), wanted.end(), got.begin(), got.end(),
                      std::back_inserter(missing));
  throw ResourceError(
      "affinity",
      fmt::format(
          "cannot bind to CPUs {}: {} not allowed or off line, this thread ran on {}: choose "
          "allowed CPUs with --cores, or bring the others on line",
          fmt::join(wanted, ","), fmt::join(missing, ","), fmt::join(before, ",")));
}

}  // namespace

void bind_this_thread(const std::vector<int>& cpus) {
  const std::vector<int> wanted = sorted(cpus);
  MILLRACE_CHECK(!wanted.empty() && wanted.front() >= 0, "affinity", "CPU numbers are needed");
  const std::vector<int> before = this_thread_cpus();
  if (!apply(wanted)) refuse(wanted, {}, before);
  // The kernel drops CPUs outside the cpuset without a word.
  const std::vector<int> got = this_thread_cpus();
  if (got == wanted) return;
  apply(before);
  refuse(wanted, got, before);
}

std::vector<int> this_thread_cpus() {
  CpuMask mask(0);
  // EINVAL: the kernel knows more CPUs than the mask has room for.
  while (::sched_getaffinity(0, mask.bytes(), mask.data()) != 0) {
    if (errno != EINVAL) {
      throw ResourceError("affinity", fmt::format("cannot read the CPU mask of this thread: {}: "
                                                  "run where sched_getaffinity is permitted",
                                                  std::strerror(errno)));
    }
    mask = CpuMask(2 * mask.size());
  }
  std::vector<int> cpus;
  for (int cpu = 0; cpu < mask.size(); ++cpu) {
    if (mask.has(cpu)) cpus.push_back(cpu);
  }
  return cpus;
}

void set_team_width(int threads) {
  MILLRACE_CHECK(threads >= 1, "affinity", "a team has at least one thread");
  omp_set_dynamic(0);  // else OMP_DYNAMIC in the environment may change the width between regions
  omp_set_num_threads(std::min(threads, omp_get_thread_limit()));
}

bool limit_blas_threads(int threads) {
  MILLRACE_CHECK(threads >= 1, "affinity", "BLAS needs at least one thread");
  using SetThreads = void (*)(int);
  const auto set_threads =
      reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set_threads == nullptr) return false;
  set_threads(threads);
  return true;
}

ScopedBinding::ScopedBinding(const std::vector<int>& cpus) : before_(this_thread_cpus()) {
  bind_this_thread(cpus);
}

// Where a CPU went off line meanwhile, the kernel keeps those that are left of the mask.
ScopedBinding::~ScopedBinding() { apply(before_); }

}  // namespace millrace
