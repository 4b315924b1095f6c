// The verbs that train and use what was trained, end to end.

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
using ::testing::IsEmpty;
using ::testing::Not;

nlohmann::json parsed(const ProgramResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  auto json = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.out;
  return json;
}

class Training : public TrainingTest {};

TEST_F(Training, LeavesEverythingInOneFolder) {
  const std::string out = folder_ / "run";
  const auto json = parsed(run(training(out, {"--steps", "30", "--json"})));
  EXPECT_EQ(json.at("steps"), 30);
  EXPECT_GT(json.at("images_per_second").get<double>(), 0);
  EXPECT_GT(json.at("loss").get<double>(), 0);
  EXPECT_GE(json.at("accuracy").get<double>(), 0);
  for (const char* field :
       {"first_expected_ns", "first_latest_ns", "measured_ns", "error_percent"}) {
    EXPECT_TRUE(json.at("estimate").at(field).is_number()) << field;
  }
  EXPECT_EQ(nlohmann::json::parse(file_text(out + "/plan.json")).at("model"), "lenet5");
  EXPECT_THAT(file_text(out + "/config.toml"), HasSubstr("steps = 30"));
  EXPECT_TRUE(nlohmann::json::accept(file_text(out + "/trace.json")));
  EXPECT_THAT(file_text(out + "/metrics.jsonl"), Not(IsEmpty()));
  EXPECT_FALSE(std::filesystem::is_empty(out + "/checkpoints"));
}

TEST_F(Training, LearnsWhatIsEasy) {
  const auto json = parsed(run(training(folder_ / "run", {"--epochs", "10", "--json"})));
  EXPECT_EQ(json.at("steps"), 150);
  EXPECT_GT(json.at("accuracy").get<double>(), 0.9);
}

TEST_F(Training, RepeatsBitByBitUnderTheSamePlan) {
  const std::string first = folder_ / "first", second = folder_ / "second";
  ASSERT_EQ(run(training(first, {"--steps", "20"})).exit_code, 0);
  const ProgramResult again = run(training(
      second, {"--steps", "20", "--plan", first + "/plan.json", "--costs", first + "/costs.json"}));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(exported(first), exported(second));
  const std::string third = folder_ / "third";
  ASSERT_EQ(run(training(third, {"--steps", "20", "--seed", "2"})).exit_code, 0);
  EXPECT_NE(exported(first), exported(third));
}

TEST_F(Training, AFolderThatIsTakenNeedsForce) {
  const std::string out = folder_ / "run";
  ASSERT_EQ(run(training(out, {"--steps", "2"})).exit_code, 0);
  const std::string before = exported(out);
  const ProgramResult refused = run(training(out, {"--steps", "3"}));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(exported(out), before);
  EXPECT_EQ(run(training(out, {"--steps", "3", "--force"})).exit_code, 0);
  EXPECT_NE(exported(out), before);
}

TEST_F(Training, TheConfigurationIsShownAndQuietIsQuiet) {
  const ProgramResult verbose = run(training(folder_ / "a", {"--steps", "2", "-v"}));
  EXPECT_THAT(verbose.err, HasSubstr("learning_rate = 0.01"));
  const ProgramResult quiet = run(training(folder_ / "b", {"--steps", "2", "-q", "--json"}));
  EXPECT_EQ(quiet.exit_code, 0);
  EXPECT_THAT(quiet.err, Not(HasSubstr("[train]")));
  EXPECT_THAT(quiet.err, Not(HasSubstr("\x1b")));
}

TEST_F(Training, ABenchmarkThatIsQuietIsSoWhereItMeasures) {
  const ProgramResult result =
      run({"bench", "lenet5", "-q", "--only", "plan", "--rounds", "1", "--steps", "2"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("img/s"));
  EXPECT_THAT(result.err, Not(HasSubstr("measuring")));
}

TEST_F(Training, UsesOnlyTheCoresThatAreAsked) {
  const std::string out = folder_ / "run";
  const auto machine = parsed(run({"topology", "--json"}));
  const int cpu = machine.at("kinds").at(0).at("cpus").at(0).get<int>();
  ASSERT_EQ(run(training(out, {"--steps", "2", "--cores", std::to_string(cpu)})).exit_code, 0);
  const auto plan = nlohmann::json::parse(file_text(out + "/plan.json"));
  for (const auto& stage : plan.at("stages")) {
    for (const auto& device : stage.at("devices")) EXPECT_EQ(device.at("cpu"), cpu);
  }
}

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

TEST_F(Training, ACosineScheduleIsOverWhereEvaluationBegins) {
  const std::string out = folder_ / "cosine";
  ASSERT_EQ(run(training(out, {"--steps", "9", "--schedule-lr", "cosine", "--set",
                               "learning_rate.warmup_steps=3"}))
                .exit_code,
            0);
  EXPECT_EQ(parsed(run({"eval", out, "--data", data(), "--json"})).at("samples"), 50);
}

TEST_F(Training, AResumeRefusesThePlanOfAnotherBatch) {
  const std::string out = folder_ / "run", plan = folder_ / "plan.json";
  ASSERT_EQ(run(training(out, {"--steps", "2"})).exit_code, 0);
  ASSERT_EQ(run({"plan", "lenet5", "--batch", "10", "-o", plan, "-q"}).exit_code, 0);
  const ProgramResult result = run({"resume", out, "--plan", plan});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("for a batch of 10"));
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

class Planning : public TrainingTest {};

std::vector<std::string> layers_of(const nlohmann::json& plan) {
  std::vector<std::string> layers;
  for (const auto& stage : plan.at("stages")) {
    for (const auto& layer : stage.at("layers")) layers.push_back(layer);
  }
  return layers;
}

TEST_F(Planning, AProfileIsACostGraphThatPlanReads) {
  const std::string costs = folder_ / "costs.json";
  const auto json = parsed(run({"profile", "lenet5", "--batch", "20", "-o", costs, "--json"}));
  EXPECT_EQ(json.at("format"), "millrace-costs");
  EXPECT_EQ(json, nlohmann::json::parse(file_text(costs)));
  const auto with_data =
      parsed(run({"profile", "lenet5", "--batch", "20", "--data", data(), "--json"}));
  EXPECT_GT(with_data.at("loader_ns_per_sample").get<double>(), 0);
  const auto of_costs = parsed(run({"plan", "--costs", costs, "--batch", "20", "--json"}));
  const auto of_model = parsed(run({"plan", "lenet5", "--batch", "20", "--json"}));
  EXPECT_EQ(of_costs.at("model"), "lenet5");
  // Cut elsewhere where the cores were found at another speed, and measured anew.
  EXPECT_EQ(layers_of(of_model), layers_of(of_costs));
  EXPECT_THAT(run({"profile", "lenet5", "--batch", "20"}).out, HasSubstr("conv1"));
}

TEST_F(Planning, TheEstimateHasAStepAndARun) {
  const auto json = parsed(
      run({"estimate", "lenet5", "--data", data(), "--batch", "20", "--epochs", "3", "--json"}));
  EXPECT_GT(json.at("step").at("expected_ns").get<double>(), 0);
  EXPECT_GE(json.at("step").at("latest_ns"), json.at("step").at("expected_ns"));
  EXPECT_GT(json.at("run").at("expected_ns").get<double>(),
            44 * json.at("step").at("expected_ns").get<double>());
  EXPECT_GE(json.at("run").at("latest_ns"), json.at("run").at("expected_ns"));
  EXPECT_GT(json.at("images_per_second").get<double>(), 0);
  EXPECT_EQ(json.at("confidence"), 0.99);
  EXPECT_EQ(json.at("tried"), true);
}

/// On one core: what others do on the machine meanwhile may lead to another plan for several.
TEST_F(Planning, TheTrainingPromisesWhatTheEstimateDid) {
  const auto cpu = parsed(run({"topology", "--json"})).at("kinds").at(0).at("cpus").at(0).dump();
  std::vector<std::string> what = {
      "--data", data(),    "--batch", "20",    "--cores",
      cpu,      "--steps", "400",     "--set", "checkpoint.every_steps=0"};
  const auto with = [&](std::vector<std::string> verb) {
    verb.insert(verb.end(), what.begin(), what.end());
    return run(verb);
  };
  const auto estimate = parsed(with({"estimate", "lenet5", "--json"}));
  EXPECT_EQ(estimate.at("tried"), true);
  const ProgramResult trained = with({"train", "lenet5", "--out", folder_ / "run", "--json"});
  for (const char* changed : {"measuring anew", "costs are scaled"})
    if (trained.err.find(changed) != std::string::npos)
      GTEST_SKIP() << "the machine changed its speed between the two";
  const double promised = parsed(trained).at("estimate").at("first_expected_ns");
  EXPECT_NEAR(promised / estimate.at("run").at("expected_ns").get<double>(), 1, 0.1);
}

}  // namespace
}  // namespace millrace::cli
