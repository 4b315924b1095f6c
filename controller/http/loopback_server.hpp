#pragma once
// An HTTP server that this machine alone can reach, and that nothing sent to it can make expensive.

#include <functional>
#include <memory>
#include <string>

namespace millrace {

struct HttpReply {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

/// Listens on 127.0.0.1 alone while it lives; answers GET and HEAD, one request a connection.
/// Refuses a Host header that names no loopback (a page of another origin whose name was made to
/// point here). At most 4 requests are answered at once, by threads of the lowest priority; a
/// request may take 1 s and 16 KiB. Its end takes no longer than the answers that are being made.
class LoopbackServer {
 public:
  /// For the path of a request; called by several threads at once.
  using Answer = std::function<HttpReply(const std::string& path)>;

  /// `port`: 0 for any that is free. Throws ConfigError (tag "http") where it is taken or not
  /// allowed, ResourceError where a thread or descriptor is missing.
  LoopbackServer(int port, Answer answer);
  ~LoopbackServer();
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  int port() const;

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

}  // namespace millrace
