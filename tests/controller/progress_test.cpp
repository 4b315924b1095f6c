#include "controller/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TrainingProgress at(std::int64_t step, std::int64_t elapsed_ns) {
  TrainingProgress progress;
  progress.step = step;
  progress.last_step = 1000;
  progress.fraction = static_cast<double>(step) / 1000;
  progress.epoch = 2;
  progress.loss = 1.2345;
  progress.images_per_second = 118.4;
  progress.remaining = {200e9, 251e9};
  progress.elapsed_ns = elapsed_ns;
  return progress;
}

struct Drawing {
  ProgressDisplay::Output output(bool terminal) {
    return {terminal, [this] { return columns; },
            [this](const std::string& text) { drawn.push_back(text); },
            [this](const std::string& line) { printed.push_back(line); }};
  }
  int columns = 100;
  std::vector<std::string> drawn, printed;
};

std::string drawn_line(std::string line) { return line.insert(0, 1, '\r') + "\x1b[K"; }

TEST(ProgressBar, ShowsEverythingWhereThereIsRoom) {
  EXPECT_EQ(progress_bar(at(420, 0), 120),
            "[============>                 ]   42 %  step 420/1000  118 img/s  loss 1.234  "
            "left 3 m 20 s (latest 4 m 11 s)");
}

TEST(ProgressBar, FitsEveryWidth) {
  for (int width = 1; width <= 160; ++width) {
    EXPECT_LE(progress_bar(at(420, 0), width).size(), static_cast<std::size_t>(width));
  }
}

TEST(ProgressBar, LeavesOutWhatIsMissedLeast) {
  EXPECT_THAT(progress_bar(at(420, 0), 85), Not(HasSubstr("latest")));
  EXPECT_THAT(progress_bar(at(420, 0), 85), HasSubstr("[=========>             ]"));
  EXPECT_EQ(progress_bar(at(420, 0), 52), " 42 %  118 img/s  loss 1.234  left 3 m 20 s");
  EXPECT_EQ(progress_bar(at(420, 0), 16), " 42 %  118 img/s");
}

TEST(ProgressBar, IsEmptyAtTheStartAndFullAtTheEnd) {
  EXPECT_THAT(progress_bar(at(0, 0), 120), HasSubstr("[>                             ]    0 %"));
  EXPECT_THAT(progress_bar(at(1000, 0), 120), HasSubstr("[==============================]  100 %"));
  EXPECT_THAT(progress_bar(at(999, 0), 120), HasSubstr(" 99 %")) << "100 % means done";
}

TEST(ProgressLine, IsWholeAndHasNoEndWhereTimeEndsTheRun) {
  EXPECT_EQ(progress_line(at(420, 0)),
            "step 420/1000  epoch 3  118 img/s  loss 1.234  left 3 m 20 s  (latest 4 m 11 s)");
  TrainingProgress timed = at(420, 0);
  timed.last_step.reset();
  timed.images_per_second = 2.5;
  EXPECT_THAT(progress_line(timed), HasSubstr("step 420  epoch 3  2.50 img/s"));
}

TEST(ProgressDisplay, DrawsOneLineOverAndOverOnATerminal) {
  Drawing drawing;
  {
    ProgressDisplay display(drawing.output(true));
    display.started(at(0, 0), {});
    drawing.printed.clear();
    for (int step = 1; step <= 10; ++step) display.stepped(at(step, step * 50'000'000));
    EXPECT_EQ(drawing.drawn.size(), 5u) << "ten times a second at most";
    EXPECT_EQ(drawing.drawn[0], drawn_line(progress_bar(at(2, 0), 99)));
    drawing.columns = 40;
    display.stepped(at(11, 5'000'000'000));
    EXPECT_EQ(drawing.drawn[5], drawn_line(progress_bar(at(11, 0), 39)));
  }
  EXPECT_EQ(drawing.drawn.back(), "\r\x1b[K") << "the line is wiped at the end";
  EXPECT_TRUE(drawing.printed.empty());
}

TEST(ProgressDisplay, PrintsALineNowAndThenInALog) {
  Drawing drawing;
  ProgressDisplay display(drawing.output(false));
  display.started(at(0, 0), {});
  drawing.printed.clear();
  for (int step = 1; step <= 25; ++step) display.stepped(at(step, step * 1'000'000'000LL));
  EXPECT_THAT(drawing.printed, ElementsAre(progress_line(at(10, 0)), progress_line(at(20, 0))));
  EXPECT_TRUE(drawing.drawn.empty());
}

TEST(ProgressDisplay, SaysThatNothingIsLeftToTrain) {
  Drawing drawing;
  ProgressDisplay display(drawing.output(false));
  display.started(at(7, 0), {});
  EXPECT_THAT(drawing.printed, ElementsAre("goes on at step 7", "nothing is left to train"));
}

TEST(ProgressDisplay, TellsTheEstimateAndEvaluationsAboveTheBar) {
  Drawing drawing;
  ProgressDisplay display(drawing.output(true));
  Estimate first;
  first.run = {200e9, 251e9};
  display.started(at(7, 0), first);
  display.stepped(at(8, 1'000'000'000));
  display.evaluated(at(8, 0), {50, 0.5, 0.875, 0});
  EXPECT_THAT(drawing.printed,
              ElementsAre("goes on at step 7", "expected 3 m 20 s, latest 4 m 11 s (99 %)",
                          "epoch 3: accuracy 87.50 %, loss 0.5000 on 50 samples (step 8)"));
  EXPECT_EQ(drawing.drawn.back(), "\r\x1b[K") << "wiped before the line is printed";
}

}  // namespace
}  // namespace millrace
