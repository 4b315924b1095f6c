#include "controller/http/loopback_server.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "millrace/errors.hpp"
#include "tests/controller/http/raw_http.hpp"

namespace millrace {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Each;
using testing::Eq;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using testing::ThrowsMessage;

HttpReply echo(const std::string& path) { return {200, "text/plain", "asked for " + path}; }

class Loopback : public ::testing::Test {
 protected:
  std::string with_host(const std::string& host) const {
    return "GET /a HTTP/1.1\r\n" + host + "\r\n";
  }
  LoopbackServer server_{0, echo};
  const int port_ = server_.port();
};

TEST_F(Loopback, AnswersAGet) {
  const RawReply reply = request(port_, "/a?b=c");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "asked for /a");
  EXPECT_THAT(reply.head,
              AllOf(HasSubstr("Content-Type: text/plain"), HasSubstr("Content-Length: 12"),
                    HasSubstr("Connection: close"), HasSubstr("Cache-Control: no-store"),
                    HasSubstr("default-src 'none'"), Not(HasSubstr("Access-Control")),
                    Not(HasSubstr("Content-Encoding"))));
}

TEST_F(Loopback, AnswersAHeadWithoutABody) {
  const RawReply reply = request(port_, "/a", "HEAD");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
  EXPECT_THAT(reply.head, HasSubstr("Content-Length: 12"));
}

TEST_F(Loopback, RefusesEveryOtherMethod) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}) {
    const RawReply reply = request(port_, "/a", method);
    EXPECT_EQ(reply.status, 405) << method;
    EXPECT_THAT(reply.head, HasSubstr("Allow: GET, HEAD")) << method;
  }
  EXPECT_EQ(request(port_, "/a", "BREW").status, 400);
}

TEST_F(Loopback, RefusesABodyOfAnySizeAndStillAnswersNext) {
  const RawReply reply =
      send_raw(port_, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n" +
                          std::string(12'000, 'x'));
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(request(port_, "/a").status, 200);
}

TEST_F(Loopback, AnswersOnlyToNamesOfThisMachine) {
  for (const char* host : {"Host: 127.0.0.1:9000\r\n", "Host: localhost\r\n",
                           "host: LocalHost:1\r\n", "Host: [::1]:9000\r\n"})
    EXPECT_EQ(send_raw(port_, with_host(host)).status, 200) << host;
  for (const char* host :
       {"", "Host: \r\n", "Host: evil.example\r\n", "Host: localhost.evil.example\r\n",
        "Host: 127.0.0.1.evil.example:80\r\n", "Host: localhost\r\nHost: evil.example\r\n"})
    EXPECT_EQ(send_raw(port_, with_host(host)).status, 403) << host;
}

TEST_F(Loopback, IgnoresRanges) {
  const RawReply reply =
      send_raw(port_, "GET /a HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1,0-1,0-1,0-1\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "asked for /a");
}

TEST_F(Loopback, RefusesARangeThatIsLongToMatch) {
  const std::string head = "GET /a HTTP/1.1\r\nHost: localhost\r\n";
  std::string range = "bytes=-";
  while (range.size() < 8000) range += ",-";
  for (const char* name : {"Range: ", "range:", "RANGE:\t"})
    EXPECT_EQ(send_raw(port_, head + name + range + "\r\n\r\n").status, 400) << name;
  EXPECT_EQ(send_raw(port_, head + "X-Range: " + range + "\r\n\r\n").status, 200);
  EXPECT_EQ(send_raw(port_, head + "Cookie: range: " + range + "\r\n\r\n").status, 200);
}

TEST_F(Loopback, OutlivesWhatIsNoRequest) {
  const std::string long_text(100'000, 'a');
  for (const std::string& bytes :
       {std::string("\r\n\r\n"), std::string("GET\r\n\r\n"), std::string(5000, '\0'), long_text,
        "GET /" + long_text + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + long_text + "\r\n\r\n",
        std::string("GET /%00%ff%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)}) {
    send_raw(port_, bytes);
    EXPECT_EQ(request(port_, "/a").status, 200) << bytes.substr(0, 40);
  }
}

TEST_F(Loopback, TakesNoEndOfHeaders) {
  std::string bytes = "GET /a HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 5000; ++i) bytes += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_THAT(send_raw(port_, bytes + "\r\n").status, AnyOf(0, 400));
  EXPECT_EQ(request(port_, "/a").status, 200);
}

TEST_F(Loopback, AnswersWhileOthersHoldTheirConnectionsOpen) {
  std::vector<std::unique_ptr<RawConnection>> silent;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(std::make_unique<RawConnection>(port_));
    silent.back()->send("GET /a HT");
  }
  EXPECT_EQ(request(port_, "/a").status, 200);
}

TEST_F(Loopback, AnswersFiftyAtOnce) {
  std::vector<int> statuses(50);
  std::vector<std::thread> clients;
  for (int& status : statuses)
    clients.emplace_back([this, &status] { status = request(port_, "/a").status; });
  for (std::thread& client : clients) client.join();
  EXPECT_THAT(statuses, Each(Eq(200)));
}

TEST(LoopbackServer, GivesTheTrainingTheCores) {
  std::atomic<int> priority = 0;
  LoopbackServer server(0, [&](const std::string&) {
    priority = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()));
    return HttpReply{};
  });
  request(server.port(), "/");
  EXPECT_EQ(priority, 19);
  EXPECT_LT(::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())), 19);
}

TEST(LoopbackServer, KeepsAnErrorOfAnAnswerToItself) {
  LoopbackServer server(0, [](const std::string& path) -> HttpReply {
    if (path == "/bad") throw std::bad_alloc();
    return echo(path);
  });
  EXPECT_EQ(request(server.port(), "/bad").status, 500);
  EXPECT_EQ(request(server.port(), "/good").status, 200);
}

TEST(LoopbackServer, EndsThoughConnectionsAreOpen) {
  auto server = std::make_unique<LoopbackServer>(0, echo);
  const int port = server->port();
  std::vector<std::unique_ptr<RawConnection>> silent;
  for (int i = 0; i < 30; ++i) silent.push_back(std::make_unique<RawConnection>(port));
  silent.front()->send("GET /a HTTP/1.1\r\nX: half a hea");
  server.reset();
  // 400 if a thread had begun to read it, else nothing.
  EXPECT_THAT(silent.front()->read_all(), AnyOf(IsEmpty(), StartsWith("HTTP/1.1 400")));
  EXPECT_THROW(RawConnection connection(port), std::runtime_error);
}

TEST(LoopbackServer, RefusesAPortThatIsTaken) {
  const LoopbackServer first(0, echo);
  EXPECT_THAT([&] { LoopbackServer second(first.port(), echo); },
              ThrowsMessage<ConfigError>(
                  AllOf(HasSubstr("[http] port " + std::to_string(first.port())),
                        HasSubstr("Address already in use"), HasSubstr("--http 0"))));
}

TEST(LoopbackServer, GivesItsPortBack) {
  auto first = std::make_unique<LoopbackServer>(0, echo);
  const int port = first->port();
  EXPECT_EQ(request(port, "/a").status, 200);
  first.reset();
  const LoopbackServer second(port, echo);
  EXPECT_EQ(request(port, "/a").status, 200);
}

}  // namespace
}  // namespace millrace
