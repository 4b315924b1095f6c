#include "controller/http/loopback_server.hpp"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <system_error>

#include "controller/http/connection.hpp"
#include "controller/http/request_queue.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "http";
constexpr const char* kAddress = "127.0.0.1";
constexpr int kWaitingConnections = 128;
constexpr std::chrono::milliseconds kConnectionTime{1000};

/// What a browser may do with an answer: show it to this origin, and load nothing from elsewhere.
const httplib::Headers& headers_of_answers() {
  static const httplib::Headers headers = {
      {"Cache-Control", "no-store"},
      {"X-Content-Type-Options", "nosniff"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Content-Security-Policy",
       "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
       "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
       "frame-ancestors 'none'"}};
  return headers;
}

/// "localhost:8080": whatever the port, which a tunnel changes.
bool names_loopback(const std::string& host) {
  const auto colon = host.find(':', host.starts_with('[') ? host.find(']') : 0);
  std::string name = host.substr(0, colon);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name == "localhost" || name == kAddress || name == "[::1]";
}

HttpReply answer_to(const httplib::Request& request, const LoopbackServer::Answer& answer) {
  const std::string host = request.get_header_value("Host");
  if (request.get_header_value_count("Host") != 1 || !names_loopback(host))
    return {403, "text/plain; charset=utf-8",
            "the Host header names no loopback address: ask for 127.0.0.1 or localhost\n"};
  if (request.method != "GET" && request.method != "HEAD")
    return {405, "text/plain; charset=utf-8", "this server answers GET and HEAD only\n"};
  return answer(request.path);
}

void fill(httplib::Response& response, HttpReply reply) {
  response.status = reply.status;
  if (reply.status == 405) response.set_header("Allow", "GET, HEAD");
  response.set_header("Content-Type", reply.type);
  response.body = std::move(reply.body);
}

/// Readable from raise() on; to be polled with other descriptors.
class Event {
 public:
  Event() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (descriptor_ >= 0) return;
    throw ResourceError(kTag, fmt::format("cannot start the server: {}: close some files, raise "
                                          "the limit (ulimit -n), or leave --http out",
                                          std::strerror(errno)));
  }
  ~Event() { ::close(descriptor_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  int descriptor() const { return descriptor_; }
  void raise() const { ::eventfd_write(descriptor_, 1); }

 private:
  const int descriptor_;
};

}  // namespace

class LoopbackServer::Server : public httplib::Server {
 public:
  Server(int port, Answer answer);
  ~Server() override;

  int port() const { return port_; }

 private:
  void bind(int port);
  void start();
  void listen_in_background();
  bool process_and_close_socket(int socket) override;

  std::unique_ptr<RequestQueue> queue_;
  std::promise<void> listening_;
  const Event ending_;  // wakes the connections
  int port_ = 0;
  std::thread listener_;
};

LoopbackServer::Server::Server(int port, Answer answer) {
  // Without SO_REUSEPORT, the library's choice, which lets two servers share a port.
  set_socket_options([](int socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  set_default_headers(headers_of_answers());
  set_pre_routing_handler(
      [answer = std::move(answer)](const httplib::Request& request, httplib::Response& response) {
        fill(response, answer_to(request, answer));
        return HandlerResponse::Handled;
      });
  bind(port);
  start();
}

void LoopbackServer::Server::bind(int port) {
  errno = 0;
  if (port == 0) {
    port_ = bind_to_any_port(kAddress);
  } else if (bind_to_port(kAddress, port)) {
    port_ = port;
  }
  if (port_ > 0) {
    ::listen(svr_sock_, kWaitingConnections);  // again: the library asks for 5
    return;
  }
  throw ConfigError(kTag,
                    fmt::format("port {} of {} cannot be listened on: {}: give another --http, or "
                                "--http 0 for any port that is free",
                                port, kAddress, std::strerror(errno)));
}

void LoopbackServer::Server::start() {
  try {
    queue_ = std::make_unique<RequestQueue>();
    new_task_queue = [this] {
      listening_.set_value();
      return queue_.release();  // the library deletes it
    };
    listener_ = std::thread([this] { listen_in_background(); });
    listening_.get_future().wait();  // stop() has no effect before
  } catch (const std::system_error& error) {
    throw ResourceError(kTag, fmt::format("cannot start the server's threads: {}: raise the limit "
                                          "(ulimit -u), or leave --http out",
                                          error.what()));
  }
}

void LoopbackServer::Server::listen_in_background() {
  become_background();
  try {
    listen_after_bind();
  } catch (const std::exception& error) {  // out of memory
    log_warning(kTag, fmt::format("the training goes on without its server: {}", error.what()));
  }
}

LoopbackServer::Server::~Server() {
  ending_.raise();
  stop();
  if (listener_.joinable()) listener_.join();
}

bool LoopbackServer::Server::process_and_close_socket(int socket) {
  Connection connection(socket, ending_.descriptor(),
                        std::chrono::steady_clock::now() + kConnectionTime);
  try {
    bool closed = false;
    // Neither compressed nor cut into ranges: both can cost far more than the request did.
    return process_request(connection, true, closed, [](httplib::Request& request) {
      request.headers.erase("Accept-Encoding");
      request.ranges.clear();
    });
  } catch (const std::exception&) {  // out of memory: this connection is closed, no more
    return false;
  }
}

LoopbackServer::LoopbackServer(int port, Answer answer)
    : server_(std::make_unique<Server>(port, std::move(answer))) {}

LoopbackServer::~LoopbackServer() = default;

int LoopbackServer::port() const { return server_->port(); }

}  // namespace millrace
