#include "tests/cli/training_fixture.hpp"

#include <nlohmann/json.hpp>

#include "tests/cli/small_data.hpp"

namespace millrace::cli {

nlohmann::json parsed(const ProgramResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  auto json = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.out;
  return json;
}

std::unique_ptr<TestFolder> TrainingTest::shared_;

void TrainingTest::SetUpTestSuite() {
  if (shared_) return;
  shared_ = std::make_unique<TestFolder>();
  write_digits(data(), 300, 50);
}

void TrainingTest::TearDownTestSuite() { shared_.reset(); }

Environment TrainingTest::environment() { return {{"MILLRACE_CACHE", shared() / "cache"}}; }

std::vector<std::string> TrainingTest::training(const std::string& out,
                                                const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"train", "lenet5", "--data", data(),     "--batch",
                                        "20",    "--out",  out,      "--replan", "never"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

ProgramResult TrainingTest::run(const std::vector<std::string>& arguments) {
  return run_millrace(arguments, environment());
}

std::string TrainingTest::exported(const std::string& run_folder) const {
  const std::string file = folder_ / "exported.safetensors";
  const ProgramResult result = run({"export", run_folder, "-o", file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return file_text(file);
}

}  // namespace millrace::cli
