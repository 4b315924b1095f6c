#pragma once
// One accepted connection, with an end to the time and to the bytes that it may take.

#include <httplib.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

namespace millrace {

/// Owns `socket`. Waiting for the client fails at the `deadline`, once the connection has brought
/// kRequestBytes, or when `ending` (an eventfd) is readable: a client that sends a byte now and
/// then holds its thread no longer than any other. What is there at the deadline is still taken.
///
/// A Range header of more than kRangeBytes makes reading fail: the library matches it by a regular
/// expression that recurses at each character, though ranges are not answered.
class Connection : public httplib::Stream {
 public:
  static constexpr std::size_t kRequestBytes = 16 << 10;
  static constexpr std::size_t kRangeBytes = 200;

  Connection(int socket, int ending, std::chrono::steady_clock::time_point deadline);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* to, std::size_t bytes) override;
  ssize_t write(const char* from, std::size_t bytes) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  int socket() const override { return socket_; }

 private:
  /// False where nothing more may be waited for.
  bool wait_for(short event) const;
  bool fill();
  /// False where the line that `next` is added to may not be read on.
  bool takes(char next);
  void close_in_order();

  const int socket_, ending_;
  std::chrono::steady_clock::time_point deadline_;
  std::array<char, 4096> buffer_;
  std::size_t begin_ = 0, end_ = 0;  ///< of what the buffer holds
  std::size_t received_ = 0;
  std::string line_;  ///< of the head, in lower case, as far as it was read and up to kRangeBytes
};

}  // namespace millrace
