#pragma once
// Trainings of LeNet-5 on generated digits, with the kept profile shared by the tests of a program.

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "tests/cli/run_program.hpp"

namespace millrace::cli {

/// What a program that ended well printed with --json.
nlohmann::json parsed(const ProgramResult& result);

class TrainingTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();

  /// Flags that every training of these tests has, then `more`. One plan: others may be at work on
  /// the machine.
  static std::vector<std::string> training(const std::string& out,
                                           const std::vector<std::string>& more);
  /// Runs the program with the tests' own cache.
  static ProgramResult run(const std::vector<std::string>& arguments);
  static Environment environment();
  static std::string data() { return shared() / "digits"; }
  /// What the tests of a program share.
  static const TestFolder& shared() { return *shared_; }
  /// Exports the run's last weights and returns the file's bytes.
  std::string exported(const std::string& run_folder) const;

  TestFolder folder_;

 private:
  static std::unique_ptr<TestFolder> shared_;
};

}  // namespace millrace::cli
