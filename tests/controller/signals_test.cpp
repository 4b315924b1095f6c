#include "controller/signals.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

TEST(SignalWatch, TellsWhatWasAsked) {
  {
    const SignalWatch watch;
    EXPECT_EQ(watch.stop_requested(), StopRequest::none);
    testing::internal::CaptureStderr();
    std::raise(SIGINT);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("stops as soon as it can"),
              std::string::npos);
    EXPECT_EQ(watch.stop_requested(), StopRequest::interrupt);
  }
  const SignalWatch again;
  EXPECT_EQ(again.stop_requested(), StopRequest::none) << "a new watch knows nothing of the last";
  std::raise(SIGTERM);
  std::raise(SIGTERM);
  EXPECT_EQ(again.stop_requested(), StopRequest::terminate);
}

TEST(SignalWatch, HangUpAsksForACheckpointAndGoesOn) {
  SignalWatch watch;
  EXPECT_FALSE(watch.take_checkpoint_request());
  std::raise(SIGHUP);
  EXPECT_TRUE(watch.take_checkpoint_request());
  EXPECT_FALSE(watch.take_checkpoint_request());
  EXPECT_EQ(watch.stop_requested(), StopRequest::none);
}

TEST(SignalWatch, APipeThatNobodyReadsEndsNothing) {
  const auto write_in_vain = [] {
    const SignalWatch watch;
    int ends[2];
    if (::pipe(ends) != 0 || ::close(ends[0]) != 0) ::_Exit(1);
    ::_Exit(::write(ends[1], "?", 1) == -1 && errno == EPIPE ? 0 : 2);
  };
  EXPECT_EXIT(write_in_vain(), testing::ExitedWithCode(0), "");
}

TEST(SignalWatch, ASecondInterruptEndsTheProcessAtOnce) {
  const auto interrupt_twice = [] {
    const SignalWatch watch;
    std::raise(SIGINT);
    std::raise(SIGINT);
    ::_Exit(0);
  };
  EXPECT_EXIT(interrupt_twice(), testing::ExitedWithCode(130), "");
  const auto terminate_then_interrupt = [] {
    const SignalWatch watch;
    std::raise(SIGTERM);
    std::raise(SIGINT);
    ::_Exit(0);
  };
  EXPECT_EXIT(terminate_then_interrupt(), testing::ExitedWithCode(0), "");
}

TEST(SignalWatch, RestoresWhatWasSetBefore) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  { const SignalWatch watch; }
  EXPECT_EQ(std::signal(SIGHUP, before), SIG_IGN);
}

TEST(SignalWatch, ThereIsOneAtATime) {
  {
    const SignalWatch watch;
    EXPECT_THROW(SignalWatch(), InternalError);
  }
  EXPECT_NO_THROW(SignalWatch());
}

}  // namespace
}  // namespace millrace
