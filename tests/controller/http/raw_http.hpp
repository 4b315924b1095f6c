#pragma once
// An HTTP client that sends what it is told, right or wrong.

#include <nlohmann/json.hpp>
#include <string>

namespace millrace {

/// A connection to 127.0.0.1; reading ends after 5 s without a byte.
class RawConnection {
 public:
  /// Throws std::runtime_error where nothing listens.
  explicit RawConnection(int port);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  /// False where the other side has closed.
  bool send(const std::string& bytes) const;
  /// Everything up to the end of the connection.
  std::string read_all() const;

 private:
  int socket_;
};

struct RawReply {
  int status = 0;  ///< 0: no answer
  std::string head, body;
};

/// Sends the bytes and reads the answer.
RawReply send_raw(int port, const std::string& bytes);
/// GET, or another method, as a browser sends it.
RawReply request(int port, const std::string& path, const std::string& method = "GET");
nlohmann::json get_json(int port, const std::string& path);

}  // namespace millrace
