// Networks of text, end to end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/training_fixture.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Text of one sentence over and over, which a few steps learn.
class TextTraining : public TrainingTest {
 protected:
  void SetUp() override {
    std::ofstream text(folder_ / "text.txt");
    for (int i = 0; i < 60; ++i) text << "the owl met a cat.\n";
  }
  ProgramResult train(const std::string& out, const std::string& file) {
    return run({"train", "char-lstm", "--data", file, "--batch", "4", "--epochs", "12",
                "--optimizer", "adamw", "--lr", "0.01", "--out", out, "--json"});
  }
};

TEST_F(TextTraining, TrainsEvaluatesAndGoesOn) {
  const std::string out = folder_ / "run", text = folder_ / "text.txt";
  const auto trained = parsed(train(out, text));
  EXPECT_EQ(trained.at("steps"), 24);
  EXPECT_EQ(trained.at("accuracy"), nullptr) << "a tenth of the text is less than a sample";
  const auto nothing = run({"eval", out, "--json"});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("nothing to validate on"));
  std::filesystem::create_directory(folder_ / "texts");
  std::filesystem::copy_file(text, folder_ / "texts/train.txt");
  std::filesystem::copy_file(text, folder_ / "texts/val.txt");
  const auto evaluated = parsed(run({"eval", out, "--data", folder_ / "texts", "--json"}));
  EXPECT_EQ(evaluated.at("samples"), (60 * 19 - 1) / 128);
  EXPECT_GT(evaluated.at("accuracy").get<double>(), 0.5) << "it has learnt the sentence";
  EXPECT_LE(evaluated.at("accuracy").get<double>(), 1);
  const auto said = parsed(run({"predict", out, "the owl", "--length", "12", "--json"}));
  const std::string whole = said.at("predictions").at(0).at("text");
  EXPECT_THAT(whole, ::testing::StartsWith("the owl"));
  EXPECT_EQ(whole.size(), 7u + 12u);
  EXPECT_EQ(run({"predict", out, "the owl", "--length", "12"}).out, whole + "\n") << "the same";
  EXPECT_EQ(run({"export", out, "-o", folder_ / "lstm.onnx"}).exit_code, 0);
  EXPECT_EQ(run({"resume", out}).exit_code, 0);
}

/// The ids of weights stand for the characters that they were trained on, whatever the data have.
TEST_F(TextTraining, KeepsItsCharactersAndRefusesOthers) {
  const std::string out = folder_ / "run", weights = folder_ / "lstm.safetensors";
  parsed(train(out, folder_ / "text.txt"));
  ASSERT_EQ(run({"export", out, "-o", weights}).exit_code, 0);
  std::filesystem::create_directory(folder_ / "fewer");
  for (const char* name : {"fewer/train.txt", "fewer/val.txt"}) {
    std::ofstream text(folder_ / name);
    for (int i = 0; i < 60; ++i) text << "the cat met.\n";  // some of the characters
  }
  const auto of_run = parsed(run({"eval", out, "--data", folder_ / "fewer", "--json"}));
  const auto of_weights = parsed(
      run({"eval", weights, "char-lstm", "--batch", "4", "--data", folder_ / "fewer", "--json"}));
  EXPECT_NEAR(of_weights.at("loss"), of_run.at("loss"), 1e-4);

  std::ofstream(folder_ / "other.txt") << std::string(2000, 'Z') + "a";
  std::ofstream(folder_ / "short.txt") << "too short";
  const auto start = [&](const std::string& text, std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "train",   "char-lstm", "--data", folder_ / text,   "--batch", "4",
        "--steps", "1",         "--out",  folder_ / "next", "--force"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  EXPECT_THAT(start("other.txt", {"--weights", weights}).err, HasSubstr("'Z' at byte 0"));
  EXPECT_EQ(start("other.txt", {"--weights", weights, "--new-head"}).exit_code, 0);
  const auto refused = start("short.txt", {});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("9 characters"), HasSubstr("129")));
  EXPECT_THAT(run({"predict", out, "Zebra"}).err, HasSubstr("'Z' at byte 0"));
}

/// The file knows its characters as well.
TEST_F(TextTraining, TrainsANetworkOfAFile) {
  const std::string text = folder_ / "text.txt", file = folder_ / "lstm.onnx";
  parsed(train(folder_ / "run", text));
  ASSERT_EQ(run({"export", folder_ / "run", "-o", file}).exit_code, 0);
  const auto start = [&](const std::string& data, std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "train", file,      "--data", data,    "--batch",        "4",      "--lr",
        "0.001", "--steps", "2",      "--out", folder_ / "next", "--force"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  const auto trained = start(text, {"--json"});
  EXPECT_LT(parsed(trained).at("loss"), 1) << "it has learnt the sentence before";
  EXPECT_EQ(run({"predict", folder_ / "next", "the owl", "--length", "5"}).exit_code, 0);
  EXPECT_EQ(run({"export", folder_ / "next", "-o", folder_ / "again.onnx"}).exit_code, 0);
  EXPECT_EQ(run({"plan", file, "--batch", "4"}).exit_code, 0);
  std::ofstream(folder_ / "other.txt") << std::string(2000, 'Z') + "a";
  EXPECT_THAT(start(folder_ / "other.txt", {}).err, HasSubstr("'Z' at byte 0"));
  EXPECT_EQ(start(folder_ / "other.txt", {"--new-head"}).exit_code, 0);
}

}  // namespace
}  // namespace millrace::cli
