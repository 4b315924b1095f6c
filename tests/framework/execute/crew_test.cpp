#include "framework/execute/crew.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <ctime>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

double seconds_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

TEST(Crew, EveryMemberRunsEveryJobOnceOnItsOwnThread) {
  constexpr int kMembers = 4;
  Crew crew(std::vector<std::string>(kMembers, "test"));
  std::vector<std::thread::id> threads(kMembers);
  crew.run([&](int member) {
    threads.at(static_cast<std::size_t>(member)) = std::this_thread::get_id();
  });
  std::vector<int> runs(kMembers, 0);
  for (int round = 1; round <= 50; ++round) {
    crew.run([&](int member) {
      ++runs.at(static_cast<std::size_t>(member));
      EXPECT_EQ(threads.at(static_cast<std::size_t>(member)), std::this_thread::get_id());
    });
    EXPECT_EQ(runs, std::vector<int>(kMembers, round));
  }
  for (const auto& id : threads) EXPECT_NE(id, std::this_thread::get_id());
}

TEST(Crew, MembersRunAtTheSameTime) {
  Crew crew({"a", "b"});
  std::atomic<int> here = 0;
  // Ends only if both members are inside the job together.
  crew.run([&](int) {
    ++here;
    while (here < 2) std::this_thread::yield();
  });
  EXPECT_EQ(here, 2);
}

TEST(Crew, ParkedMembersUseNoProcessorTime) {
  Crew crew(std::vector<std::string>(4, "parked"));
  crew.run([](int) {});
  const double all_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double own_before = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  while (seconds_of(CLOCK_THREAD_CPUTIME_ID) - own_before < 0.1) {
  }
  const double own = seconds_of(CLOCK_THREAD_CPUTIME_ID) - own_before;
  const double all = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - all_before;
  EXPECT_LT(all - own, 0.2 * own);
}

TEST(Crew, IsDismissedBeforeAnyJobAndWhileParked) {
  { const Crew idle({"a", "b", "c"}); }
  std::atomic<int> runs = 0;
  {
    Crew crew({"a", "b", "c"});
    crew.run([&](int) { ++runs; });
  }
  EXPECT_EQ(runs, 3);
}

TEST(Crew, ThreadsThatAreRefusedAreAResourceError) {
  const auto ask_for_threads = [] {
    constexpr uid_t kNobody = 65534;  // limits do not bind root
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) ::_exit(1);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_NPROC, &none);
    try {
      const Crew crew({"a", "b"});
    } catch (const ResourceError& error) {
      ::_exit(static_cast<int>(error.code()));
    }
    ::_exit(0);
  };
  EXPECT_EXIT(ask_for_threads(), testing::ExitedWithCode(4), "");
}

}  // namespace
}  // namespace millrace
