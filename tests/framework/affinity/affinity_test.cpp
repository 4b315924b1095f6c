#include "framework/affinity/affinity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>

#include <functional>
#include <mutex>
#include <thread>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;

constexpr int kNoSuchCpu = 100000;  // above what any kernel is built for

// Masks and widths belong to a thread, so each test has one of its own.
void on_new_thread(const std::function<void()>& work) { std::thread(work).join(); }

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const ResourceError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(BindThisThread, RunsOnTheGivenCpuOnly) {
  for (const int cpu : this_thread_cpus()) {
    on_new_thread([cpu] {
      bind_this_thread({cpu});
      EXPECT_EQ(this_thread_cpus(), std::vector<int>{cpu});
      EXPECT_EQ(::sched_getcpu(), cpu);
    });
  }
}

TEST(BindThisThread, TakesCpusInAnyOrderAndTwice) {
  on_new_thread([] {
    const std::vector<int> all = this_thread_cpus();
    std::vector<int> reversed(all.rbegin(), all.rend());
    reversed.push_back(all.front());
    bind_this_thread(reversed);
    EXPECT_EQ(this_thread_cpus(), all);
  });
}

TEST(BindThisThread, NamesTheCpuThatIsNotThereAndKeepsTheMask) {
  on_new_thread([] {
    const std::vector<int> before = this_thread_cpus();
    const std::string alone = message_of([] { bind_this_thread({kNoSuchCpu}); });
    EXPECT_THAT(alone, HasSubstr("[affinity] cannot bind to CPUs 100000: 100000 not allowed"));
    EXPECT_EQ(this_thread_cpus(), before);
    const std::string beside = message_of([&] { bind_this_thread({before.front(), kNoSuchCpu}); });
    EXPECT_THAT(beside, HasSubstr(",100000: 100000 not allowed or off line"));
    EXPECT_THAT(beside, HasSubstr("--cores"));
    EXPECT_EQ(this_thread_cpus(), before);
  });
}

TEST(BindThisThread, RefusesNoCpuAndNegativeOnes) {
  EXPECT_THROW(bind_this_thread({}), InternalError);
  EXPECT_THROW(bind_this_thread({-1}), InternalError);
}

TEST(BindThisThread, IsInheritedByTheTeamMadeAfterIt) {
  on_new_thread([] {
    const int cpu = this_thread_cpus().back();
    bind_this_thread({cpu});
    set_team_width(3);
    std::vector<std::vector<int>> masks(3);
    std::mutex mutex;  // the thread sanitizer does not see the barrier that ends the region
#pragma omp parallel
    {
      const std::lock_guard lock(mutex);
      masks[static_cast<std::size_t>(omp_get_thread_num())] = this_thread_cpus();
    }
    const std::lock_guard lock(mutex);
    EXPECT_EQ(masks, std::vector<std::vector<int>>(3, {cpu}));
  });
}

TEST(ScopedBinding, BindsWhileItLives) {
  on_new_thread([] {
    const std::vector<int> before = this_thread_cpus();
    {
      const ScopedBinding outer({before.back()});
      EXPECT_EQ(this_thread_cpus(), std::vector<int>{before.back()});
      {
        const ScopedBinding inner({before.front()});
        EXPECT_EQ(this_thread_cpus(), std::vector<int>{before.front()});
      }
      EXPECT_EQ(this_thread_cpus(), std::vector<int>{before.back()});
    }
    EXPECT_EQ(this_thread_cpus(), before);
  });
}

TEST(ScopedBinding, ThatThrowsLeavesTheMask) {
  on_new_thread([] {
    const std::vector<int> before = this_thread_cpus();
    EXPECT_THROW(ScopedBinding({kNoSuchCpu}), ResourceError);
    EXPECT_EQ(this_thread_cpus(), before);
  });
}

int team_size() {
  int size = 0;
#pragma omp parallel
#pragma omp master
  size = omp_get_num_threads();
  return size;
}

TEST(SetTeamWidth, HoldsForTheCallingThreadAlone) {
  on_new_thread([] {
    set_team_width(2);
    EXPECT_EQ(team_size(), 2);
    on_new_thread([] {
      set_team_width(5);
      EXPECT_EQ(team_size(), 5);
    });
    EXPECT_EQ(team_size(), 2);
  });
}

TEST(SetTeamWidth, IsNotTrimmedByDynamicTeams) {
  on_new_thread([] {
    omp_set_dynamic(1);
    const int more_than_cpus = 4 * static_cast<int>(std::thread::hardware_concurrency()) + 1;
    set_team_width(more_than_cpus);
    EXPECT_EQ(team_size(), more_than_cpus);
  });
}

void expect_width(int wanted, int expected) {
  set_team_width(wanted);
  EXPECT_EQ(omp_get_max_threads(), expected);
}

TEST(SetTeamWidth, KeepsToTheThreadLimit) {
  on_new_thread([] {
#pragma omp teams num_teams(1) thread_limit(2)
    expect_width(5, 2);
  });
}

TEST(SetTeamWidth, RefusesLessThanOne) {
  EXPECT_THROW(set_team_width(0), InternalError);
  EXPECT_THROW(set_team_width(-2), InternalError);
}

TEST(LimitBlasThreads, SaysWhereNoOpenBlasIsLoaded) { EXPECT_FALSE(limit_blas_threads(1)); }

TEST(LimitBlasThreads, RefusesLessThanOne) { EXPECT_THROW(limit_blas_threads(0), InternalError); }

}  // namespace
}  // namespace millrace
