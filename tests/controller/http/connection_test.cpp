#include "controller/http/connection.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

class ConnectionTest : public ::testing::Test {
 protected:
  ConnectionTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    client_ = ends[0];
    server_ = ends[1];
  }
  ~ConnectionTest() override {
    ::close(client_);  // so that the connection need not wait for the rest of a request
    connection_.reset();
    ::close(ending_);
  }
  Connection& with_deadline(Clock::time_point deadline) {
    return connection_.emplace(server_, ending_, deadline);
  }
  void client_sends(const std::string& bytes) const {
    EXPECT_EQ(::send(client_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  static std::string read(Connection& connection) {
    char text[64];
    const ssize_t count = connection.read(text, sizeof text);
    return count < 0 ? "failed" : std::string(text, static_cast<std::size_t>(count));
  }

  const int ending_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

 private:
  int client_ = -1, server_ = -1;
  std::optional<Connection> connection_;
};

TEST_F(ConnectionTest, TakesWhatIsThereWhenItsThreadGetsACoreTooLate) {
  Connection& late = with_deadline(Clock::now() - std::chrono::seconds(1));
  client_sends("GET /");
  EXPECT_TRUE(late.is_readable());
  EXPECT_TRUE(late.is_writable());
  EXPECT_EQ(read(late), "GET /");
  EXPECT_EQ(read(late), "failed") << "nothing more is there";
}

TEST_F(ConnectionTest, WaitsForNobodyWhenTheServerEnds) {
  Connection& connection = with_deadline(Clock::now() + std::chrono::hours(1));
  ::eventfd_write(ending_, 1);
  EXPECT_FALSE(connection.is_readable());
  EXPECT_EQ(read(connection), "failed");
}

TEST_F(ConnectionTest, TellsARangeThatComesInParts) {
  Connection& connection = with_deadline(Clock::now() + std::chrono::hours(1));
  client_sends("Host: a\r\nRAN");
  EXPECT_EQ(read(connection), "Host: a\r\nRAN");
  client_sends("ge:" + std::string(40, '-'));
  EXPECT_EQ(read(connection), "ge:" + std::string(40, '-'));
  client_sends(std::string(Connection::kRangeBytes, '-'));
  EXPECT_EQ(read(connection).size(), 64u);
  EXPECT_EQ(read(connection).size(), 64u);
  EXPECT_EQ(read(connection), "failed");
}

}  // namespace
}  // namespace millrace
