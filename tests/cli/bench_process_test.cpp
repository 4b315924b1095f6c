#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include "controller/cli/bench/entries.hpp"
#include "controller/cli/bench/process.hpp"
#include "framework/topology/blas_core.hpp"
#include "millrace/errors.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ProcessSpec shell(const std::string& script) { return {{"/bin/sh", "-c", script}, {}, {}, {}}; }

int first_allowed_cpu() {
  cpu_set_t mask;
  sched_getaffinity(0, sizeof(mask), &mask);
  int cpu = 0;
  while (CPU_ISSET(cpu, &mask) == 0) ++cpu;
  return cpu;
}

TEST(RunProcess, GivesOutputAndPeakMemory) {
  const ProcessResult result = run_process(shell("echo one; echo two"));
  EXPECT_EQ(result.output, "one\ntwo\n");
  EXPECT_GT(result.peak_rss_bytes, 100'000);
}

TEST(RunProcess, PinsToTheGivenCpus) {
  const int cpu = first_allowed_cpu();
  ProcessSpec spec = shell("grep Cpus_allowed_list /proc/self/status");
  spec.cpus = {cpu};
  EXPECT_EQ(run_process(spec).output, "Cpus_allowed_list:\t" + std::to_string(cpu) + "\n");
}

TEST(RunProcess, RemovesWhatSlowsAndAddsWhatIsAsked) {
  setenv("OMP_PROC_BIND", "true", 1);
  setenv("OPENBLAS_CORETYPE", "Prescott", 1);
  setenv("MILLRACE_TEST_KEPT", "yes", 1);
  ProcessSpec spec = shell("echo [$OMP_PROC_BIND][$OPENBLAS_CORETYPE] $MILLRACE_TEST_KEPT $ADDED");
  spec.environment = {{"ADDED", "too"}};
  const std::string core = faster_blas_core().value_or("");
  EXPECT_EQ(run_process(spec).output, "[][" + core + "] yes too\n");
  unsetenv("OMP_PROC_BIND");
  unsetenv("OPENBLAS_CORETYPE");
  unsetenv("MILLRACE_TEST_KEPT");
}

TEST(RunProcess, CarriesTheExitCodeOfOurOwnErrors) {
  for (const ExitCode code : {ExitCode::user, ExitCode::no_plan, ExitCode::resource}) {
    try {
      run_process(shell("exit " + std::to_string(static_cast<int>(code))));
      FAIL() << "did not throw";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
    }
  }
}

TEST(RunProcess, ReportsKilledAndMissingPrograms) {
  const auto error_of = [](const ProcessSpec& spec) -> std::string {
    try {
      run_process(spec);
    } catch (const Error& error) {
      return std::to_string(static_cast<int>(error.code())) + " " + error.what();
    }
    return "";
  };
  EXPECT_THAT(error_of(shell("kill -9 $$")),
              AllOf(StartsWith("70 "), HasSubstr("killed by signal 9")));
  EXPECT_THAT(error_of({{"/nowhere/program"}, {}, {}}),
              AllOf(StartsWith("4 "), HasSubstr("/nowhere/program"), HasSubstr("memory")));
}

TEST(DefaultSteps, KeepAnEntryAtSomeSeconds) {
  EXPECT_EQ(default_steps(4.145e9 * 64), 4);
  EXPECT_EQ(default_steps(1e13), 4);
  EXPECT_EQ(default_steps(1e10), 106);
  EXPECT_EQ(default_steps(1e3), 200);
}

}  // namespace
}  // namespace millrace::cli
