#include "framework/profile/core_team.hpp"

#include <barrier>
#include <exception>

namespace millrace {

CoreTeam::CoreTeam(const std::vector<int>& cpus) {
  for (const int cpu : cpus) members_.push_back(std::make_unique<PinnedThread>(std::vector{cpu}));
}

void CoreTeam::run(const std::function<void(int member, const Meet& meet)>& work) {
  std::barrier<> barrier(size());
  const Meet meet = [&barrier] { barrier.arrive_and_wait(); };
  for (int member = 0; member < size(); ++member) {
    members_[static_cast<std::size_t>(member)]->start([&, member] {
      try {
        work(member, meet);
      } catch (...) {
        barrier.arrive_and_drop();
        throw;
      }
    });
  }
  std::exception_ptr first;
  for (const auto& member : members_) {
    try {
      member->finish();
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace millrace
