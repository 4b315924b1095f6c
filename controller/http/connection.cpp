#include "controller/http/connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace millrace {
namespace {

constexpr const char* kLoopback = "127.0.0.1";
constexpr std::chrono::milliseconds kClosingTime{100};

bool interrupted() { return errno == EINTR || errno == EAGAIN; }

}  // namespace

Connection::Connection(int socket, int ending, std::chrono::steady_clock::time_point deadline)
    : socket_(socket), ending_(ending), deadline_(deadline) {}

Connection::~Connection() {
  close_in_order();
  ::close(socket_);
}

bool Connection::wait_for(short event) const {
  using std::chrono::milliseconds;
  while (true) {
    const auto left = std::chrono::duration_cast<milliseconds>(
        deadline_ - std::chrono::steady_clock::now() + milliseconds(1));
    std::array<pollfd, 2> waiting = {pollfd{socket_, event, 0}, pollfd{ending_, POLLIN, 0}};
    // Asked at least once: this thread may have had no core until the deadline.
    const int ready = ::poll(waiting.data(), waiting.size(),
                             static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready < 0 && interrupted()) continue;
    return ready > 0 && waiting[1].revents == 0;
  }
}

bool Connection::is_readable() const { return begin_ < end_ || wait_for(POLLIN); }
bool Connection::is_writable() const { return wait_for(POLLOUT); }

bool Connection::fill() {
  if (received_ >= kRequestBytes) return false;
  ssize_t count = -1;
  do {
    if (!wait_for(POLLIN)) return false;
    count = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  } while (count < 0 && interrupted());
  if (count <= 0) return false;
  begin_ = 0;
  end_ = static_cast<std::size_t>(count);
  received_ += end_;
  return true;
}

ssize_t Connection::read(char* to, std::size_t bytes) {
  if (begin_ == end_ && !fill()) return -1;
  const std::size_t count = std::min(bytes, end_ - begin_);
  const char* from = buffer_.data() + begin_;
  if (!std::all_of(from, from + count, [this](char next) { return takes(next); })) return -1;
  std::memcpy(to, from, count);
  begin_ += count;
  return static_cast<ssize_t>(count);
}

bool Connection::takes(char next) {
  if (next == '\n') {
    line_.clear();
    return true;
  }
  if (line_.size() < kRangeBytes) {
    line_ += static_cast<char>(std::tolower(static_cast<unsigned char>(next)));
    return true;
  }
  return !line_.starts_with("range:");
}

ssize_t Connection::write(const char* from, std::size_t bytes) {
  while (true) {
    // What the kernel takes at once is sent though the server ends: the last answers arrive.
    const ssize_t count = ::send(socket_, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0 || !interrupted()) return count;
    if (!wait_for(POLLOUT)) return -1;
  }
}

/// Closing what holds unread bytes resets the connection, and the client may lose the answer: what
/// is left of a request (a body, which nothing here reads) is read first, as far as it may go.
void Connection::close_in_order() {
  ::shutdown(socket_, SHUT_WR);
  received_ = 0;
  deadline_ = std::chrono::steady_clock::now() + kClosingTime;
  while (fill()) {
  }
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = kLoopback;
  port = 0;  // nobody asks
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  ip = kLoopback;
  port = 0;
}

}  // namespace millrace
