#include "tests/controller/http/raw_http.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace millrace {

RawConnection::RawConnection(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{30, 0};  // under sanitizers on a busy machine an answer takes seconds
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
  ::close(socket_);
  throw std::runtime_error("nothing listens on port " + std::to_string(port));
}

RawConnection::~RawConnection() { ::close(socket_); }

bool RawConnection::send(const std::string& bytes) const {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

std::string RawConnection::read_all() const {
  std::string text;
  char part[4096];
  for (ssize_t count; (count = ::recv(socket_, part, sizeof part, 0)) > 0;)
    text.append(part, static_cast<std::size_t>(count));
  return text;
}

RawReply send_raw(int port, const std::string& bytes) {
  const RawConnection connection(port);
  connection.send(bytes);
  const std::string text = connection.read_all();
  RawReply reply;
  const auto end = text.find("\r\n\r\n");
  if (end == std::string::npos) return reply;
  reply.head = text.substr(0, end);
  reply.body = text.substr(end + 4);
  reply.status = std::atoi(reply.head.substr(reply.head.find(' ') + 1).c_str());
  return reply;
}

RawReply request(int port, const std::string& path, const std::string& method) {
  return send_raw(port, method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" +
                            std::to_string(port) + "\r\nAccept-Encoding: gzip, br\r\n\r\n");
}

nlohmann::json get_json(int port, const std::string& path) {
  return nlohmann::json::parse(request(port, path).body);
}

}  // namespace millrace
