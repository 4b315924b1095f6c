#include "controller/cli/torch/profile_bar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "millrace/log.hpp"

namespace millrace::cli {
namespace {

constexpr int kWidth = 30;

void draw(double fraction, const std::string& what) {
  const int filled = static_cast<int>(fraction * kWidth);
  const std::string line = fraction < 1
                               ? fmt::format("\r\x1b[Kmeasuring [{:=<{}}{:>{}}] {:3.0f} %  {}", "",
                                             filled, "", kWidth - filled, 100 * fraction, what)
                               : "\r\x1b[K";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void ProfileBar::operator()(double fraction, const std::string& what) {
  if (verbosity() == Verbosity::quiet) return;
  const double part = std::clamp(fraction, 0.0, 1.0);
  if (stderr_is_terminal()) return draw(part, what);
  const int tenths = static_cast<int>(part * 10);
  if (tenths == shown_tenths_) return;
  shown_tenths_ = tenths;
  log_info("profile", fmt::format("{} %: {}", tenths * 10, what));
}

}  // namespace millrace::cli
