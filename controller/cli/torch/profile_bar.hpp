#pragma once
// How far measuring is: a bar on a terminal, a line now and then in a log.

#include <string>

namespace millrace::cli {

/// Called as ProfileRequest::progress. Copies draw on the same line.
class ProfileBar {
 public:
  void operator()(double fraction, const std::string& what);

 private:
  int shown_tenths_ = -1;
};

}  // namespace millrace::cli
