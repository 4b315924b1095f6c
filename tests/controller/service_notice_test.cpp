#include "controller/service_notice.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Listens as a service manager does.
class ServiceNoticeTest : public ScratchFolder {
 protected:
  void SetUp() override {
    ScratchFolder::SetUp();
    const std::string path = scratch_ / "notify";
    listening_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{AF_UNIX, {}};
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("NOTIFY_SOCKET");
    ::close(listening_);
    ScratchFolder::TearDown();
  }
  /// The next message; "" where there is none.
  std::string heard() const {
    char text[1000];
    const ssize_t bytes = ::recv(listening_, text, sizeof text, 0);
    return bytes > 0 ? std::string(text, static_cast<std::size_t>(bytes)) : "";
  }
  static RunStatus status(RunState state, std::int64_t step) {
    RunStatus status;
    status.state = state;
    status.progress.step = step;
    status.progress.last_step = 100;
    status.progress.loss = 0.5;
    status.progress.remaining = {60e9, 90e9};
    return status;
  }

  int listening_ = -1;
};

TEST_F(ServiceNoticeTest, SaysOnceThatTheServiceIsUpAndOftenThatItLives) {
  ServiceNotice notice;
  notice.publish(status(RunState::running, 1));
  const std::string first = heard();
  EXPECT_THAT(first, HasSubstr("STATUS=step 1/100, loss 0.5, left 60.0 s (latest 90.0 s)"));
  EXPECT_THAT(first, HasSubstr("READY=1"));
  notice.publish(status(RunState::running, 2));
  const std::string second = heard();
  EXPECT_THAT(second, HasSubstr("WATCHDOG=1"));
  EXPECT_THAT(second, Not(HasSubstr("READY=1")));
  notice.publish(status(RunState::terminated, 2));
  const std::string last = heard();
  EXPECT_THAT(last, HasSubstr("STATUS=terminated after step 2/100"));
  EXPECT_THAT(last, HasSubstr("STOPPING=1"));
}

TEST_F(ServiceNoticeTest, SaysNothingWhereNobodyListens) {
  unsetenv("NOTIFY_SOCKET");
  ServiceNotice().publish(status(RunState::running, 1));
  EXPECT_EQ(heard(), "");
}

}  // namespace
}  // namespace millrace
