// The verbs that use what was trained, end to end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/small_data.hpp"
#include "tests/cli/training_fixture.hpp"
#include "tests/models/onnx_external.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Trained : public TrainingTest {
 protected:
  void SetUp() override {
    run_ = folder_ / "run";
    ASSERT_EQ(run(training(run_, {"--epochs", "8"})).exit_code, 0);
  }
  std::string run_;
};

TEST_F(Trained, IsEvaluatedFromTheRunAndFromItsExport) {
  const auto of_run = parsed(run({"eval", run_, "--data", data(), "--json"}));
  EXPECT_EQ(of_run.at("samples"), 50);
  EXPECT_GT(of_run.at("accuracy").get<double>(), 0.9);
  exported(run_);
  const auto of_file = parsed(run({"eval", folder_ / "exported.safetensors", "lenet5", "--data",
                                   data(), "--batch", "20", "--json"}));
  EXPECT_EQ(of_file.at("accuracy"), of_run.at("accuracy"));
  EXPECT_NEAR(of_file.at("loss").get<double>(), of_run.at("loss").get<double>(), 1e-4);
}

TEST_F(Trained, PredictsTheLabelsOfImages) {
  std::vector<std::string> arguments = {"predict", run_};
  for (const int label : {3, 8}) {
    arguments.push_back(folder_ / (std::to_string(label) + ".jpg"));
    write_digit_jpeg(arguments.back(), label);
  }
  arguments.push_back("--json");
  const auto predictions = parsed(run(arguments)).at("predictions");
  ASSERT_EQ(predictions.size(), 2u);
  EXPECT_EQ(predictions.at(0).at("image"), arguments.at(2));
  EXPECT_EQ(predictions.at(0).at("label"), "3");
  EXPECT_EQ(predictions.at(1).at("label"), "8");
  EXPECT_GT(predictions.at(0).at("probability").get<double>(), 0.5);
}

TEST_F(Trained, PredictsBesideABrokenImageWhereAsked) {
  const std::string good = folder_ / "good.jpg", broken = folder_ / "broken.jpg";
  write_digit_jpeg(good, 3);
  std::ofstream(broken) << "no image";
  const ProgramResult refused = run({"predict", run_, good, broken});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(broken), HasSubstr("--skip-bad-images")));
  const ProgramResult rest = run({"predict", run_, broken, good, "--skip-bad-images", "--json"});
  EXPECT_THAT(rest.err, HasSubstr(broken));
  const auto predictions = parsed(rest).at("predictions");
  ASSERT_EQ(predictions.size(), 1U);
  EXPECT_EQ(predictions.at(0).at("image"), good);
  EXPECT_EQ(run({"predict", run_, broken, "--skip-bad-images"}).exit_code, 2) << "nothing is left";
}

TEST_F(Trained, PredictsImagesWhoseNamesAreNoText) {
  const std::string image = folder_ / "\xff.jpg";
  write_digit_jpeg(image, 3);
  EXPECT_EQ(parsed(run({"predict", run_, image, "--json"})).at("predictions").size(), 1U);
}

TEST_F(Trained, ExportsTheSameBytesAgainUnderTorchvisionsNames) {
  const std::string bytes = exported(run_);
  EXPECT_EQ(exported(run_), bytes);
  EXPECT_THAT(bytes, HasSubstr("\"conv1.weight\""));
  EXPECT_THAT(bytes, Not(HasSubstr("optimizer")));
  EXPECT_THAT(bytes, Not(HasSubstr(run_)));
}

TEST_F(Trained, IsAStartForAnotherTraining) {
  exported(run_);
  const auto json =
      parsed(run(training(folder_ / "more", {"--steps", "1", "--lr", "0", "--weights",
                                             folder_ / "exported.safetensors", "--json"})));
  EXPECT_GT(json.at("accuracy").get<double>(), 0.9);
}

TEST_F(Trained, ResumesWithoutTheFileItStartedFrom) {
  const std::string weights = folder_.write("first.safetensors", exported(run_));
  const std::string out = folder_ / "second";
  const ProgramResult started = run(training(out, {"--steps", "2", "--weights", weights}));
  ASSERT_EQ(started.exit_code, 0) << started.err;
  std::filesystem::remove(weights);
  const ProgramResult resumed = run({"resume", out, "--set", "train.steps=3"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  // No checkpoint left: it starts again, and not from other weights than it was told to.
  for (const auto& file : std::filesystem::directory_iterator(out + "/checkpoints"))
    std::filesystem::resize_file(file.path(), 100);
  const ProgramResult lost = run({"resume", out, "--set", "train.steps=3"});
  EXPECT_EQ(lost.exit_code, 2) << lost.err;
  EXPECT_THAT(lost.err, HasSubstr("first.safetensors"));
}

TEST_F(Trained, GoesOnAsANetworkOfAFile) {
  const std::string file = folder_ / "net.onnx", out = folder_ / "second";
  ASSERT_EQ(run({"export", run_, "-o", file}).exit_code, 0);
  testing::move_values_out(file);
  std::vector<std::string> arguments = training(out, {"--steps", "2"});
  arguments[1] = file;
  const ProgramResult started = run(arguments);
  ASSERT_EQ(started.exit_code, 0) << started.err;
  std::filesystem::remove(file);  // the run has its own
  std::filesystem::remove(file + ".data");
  const std::string moved = folder_ / "moved";
  std::filesystem::rename(out, moved);
  const ProgramResult resumed = run({"resume", moved, "--set", "train.steps=3"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("goes on at step 2"));
  EXPECT_EQ(run({"eval", moved}).exit_code, 0);
  EXPECT_EQ(run({"export", moved, "-o", folder_ / "again.onnx"}).exit_code, 0);
  arguments[1] = folder_ / "absent.onnx";
  const ProgramResult absent = run(arguments);
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_THAT(absent.err, HasSubstr("absent.onnx"));
}

TEST_F(Trained, WithADamagedCheckpointIsRefused) {
  for (const auto& entry : std::filesystem::directory_iterator(run_ + "/checkpoints")) {
    std::filesystem::resize_file(entry.path(), std::filesystem::file_size(entry.path()) / 2);
  }
  for (const char* verb : {"eval", "predict", "export"}) {
    std::vector<std::string> arguments = {verb, run_};
    if (verb == std::string("predict")) arguments.push_back("image.jpg");
    if (verb == std::string("export")) arguments.insert(arguments.end(), {"-o", "x.safetensors"});
    const ProgramResult result = run(arguments);
    EXPECT_EQ(result.exit_code, 2) << verb << result.err;
    EXPECT_THAT(result.err, HasSubstr("checkpoint")) << verb;
  }
}

}  // namespace
}  // namespace millrace::cli
