#include "framework/topology/warnings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const char* const kVariables[] = {"OMP_PROC_BIND",       "OMP_PLACES",         "GOMP_CPU_AFFINITY",
                                  "OPENBLAS_CORETYPE",   "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA",
                                  "ATEN_CPU_CAPABILITY", "HWLOC_XMLFILE",      "HWLOC_SYNTHETIC",
                                  "HWLOC_FSROOT"};

// None of the variables is set, whatever the tests are run with.
class EnvironmentWarnings : public ::testing::Test {
 protected:
  EnvironmentWarnings() {
    for (const char* name : kVariables) {
      clean_.push_back(std::make_unique<ScopedVariable>(name, std::nullopt));
    }
  }

 private:
  std::vector<std::unique_ptr<ScopedVariable>> clean_;
};

TEST_F(EnvironmentWarnings, AreNoneInACleanEnvironment) {
  EXPECT_THAT(environment_warnings(), IsEmpty());
}

TEST_F(EnvironmentWarnings, NameTheVariableItsValueAndTheRemedy) {
  for (const char* name : kVariables) {
    const ScopedVariable set(name, "close");
    const auto warnings = environment_warnings();
    ASSERT_THAT(warnings, SizeIs(1)) << name;
    EXPECT_EQ(warnings[0].tag, "environment");
    EXPECT_THAT(warnings[0].message, AllOf(HasSubstr(std::string(name) + "=close "),
                                           HasSubstr("unset " + std::string(name))));
  }
}

TEST_F(EnvironmentWarnings, DoNotCountEmptyValues) {
  const ScopedVariable empty("OMP_PLACES", "");
  EXPECT_THAT(environment_warnings(), IsEmpty());
}

TEST_F(EnvironmentWarnings, AreSilentWhereOpenMpIsToldNotToBind) {
  const ScopedVariable places("OMP_PLACES", "cores");
  for (const char* off : {"false", "FALSE", "False"}) {
    const ScopedVariable bind("OMP_PROC_BIND", off);
    EXPECT_THAT(environment_warnings(), IsEmpty()) << off;
  }
  const ScopedVariable bind("OMP_PROC_BIND", "true");
  EXPECT_THAT(environment_warnings(), SizeIs(2));
}

class MachineWarnings : public ::testing::Test {
 protected:
  MachineWarnings() {
    topology_.kinds = {{"core", {0, 1, 2, 3}, 1.0, ""}};
    topology_.cores = {{0}, {1}, {2}, {3}};
  }
  void governor(int cpu, const std::string& governor, const std::string& driver) {
    const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/";
    tree_.write(folder + "scaling_governor", governor + "\n");
    tree_.write(folder + "scaling_driver", driver + "\n");
  }
  std::vector<Warning> read() const {
    std::vector<Warning> warnings = core_warnings(topology_);
    const auto clocks = clock_warnings(topology_, SystemFiles(tree_.root()));
    warnings.insert(warnings.end(), clocks.begin(), clocks.end());
    return warnings;
  }

  FileTree tree_;
  Topology topology_;
};

TEST_F(MachineWarnings, AreNoneForAPlainMachine) { EXPECT_THAT(read(), IsEmpty()); }

TEST_F(MachineWarnings, OfAQuotaNameBothValues) {
  topology_.limits.cpu_quota = 0.25;
  ASSERT_THAT(read(), SizeIs(1));
  EXPECT_EQ(read()[0].tag, "quota");
  EXPECT_THAT(read()[0].message, AllOf(HasSubstr("0.25 CPUs"), HasSubstr("4 cores are allowed"),
                                       HasSubstr("--cores all takes 1;")));
  topology_.limits.cpu_quota = 4.0;
  EXPECT_THAT(read(), IsEmpty());
}

TEST_F(MachineWarnings, OfSiblingsNameTheCoresToUse) {
  topology_.cores = {{0, 2}, {1, 3}};
  ASSERT_THAT(read(), SizeIs(1));
  EXPECT_EQ(read()[0].tag, "smt");
  EXPECT_THAT(read()[0].message,
              AllOf(HasSubstr("CPUs 2-3 are second threads"), HasSubstr("CPUs 0-1 already are")));
}

TEST_F(MachineWarnings, OfGovernorsNameTheCpus) {
  governor(1, "powersave", "cpufreq-dt");
  governor(2, "schedutil", "cpufreq-dt");
  governor(3, "powersave", "acpi-cpufreq");
  ASSERT_THAT(read(), SizeIs(1));
  EXPECT_EQ(read()[0].tag, "governor");
  EXPECT_THAT(read()[0].message, HasSubstr("CPUs 1,3 run under"));
}

TEST_F(MachineWarnings, KnowPowersaveThatAdaptsToTheLoad) {
  governor(0, "powersave", "intel_pstate");
  governor(1, "powersave", "amd-pstate-epp");
  EXPECT_THAT(read(), IsEmpty());
}

}  // namespace
}  // namespace millrace
