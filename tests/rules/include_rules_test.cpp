#include "tests/rules/include_rules.hpp"

#include <gtest/gtest.h>

#include "framework/base/file.hpp"

namespace millrace::rules {
namespace {

const char* const kSmallTable =
    "text\n"
    "| part | parts | libraries |\n"
    "|---|---|---|\n"
    "| `kernels` | | openmp |\n"
    "| `framework/plan` | base framework/schedule | json |\n"
    "\n"
    "| `controller` | never read | |\n";

TEST(RuleTable, IsReadUpToItsEnd) {
  const RuleTable table = read_table(kSmallTable);
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table.at("framework/plan").parts,
            (std::set<std::string>{"framework/base", "framework/schedule"}));
  EXPECT_TRUE(table.at("kernels").parts.empty());
  EXPECT_EQ(table.at("kernels").libraries, std::set<std::string>{"openmp"});
}

TEST(Violation, NamesWhatIsForbidden) {
  const RuleTable table = read_table(kSmallTable);
  const auto check = [&](const std::string& file, const std::string& target) {
    return violation({file, 1, target}, table);
  };
  EXPECT_EQ(check("framework/plan/search.cpp", "millrace/schedule.hpp"), "");
  EXPECT_EQ(check("framework/plan/search.cpp", "millrace/errors.hpp"), "");
  EXPECT_EQ(check("framework/plan/search.cpp", "framework/plan/cost.hpp"), "");
  EXPECT_EQ(check("framework/plan/search.cpp", "vector"), "");
  EXPECT_EQ(check("framework/plan/search.cpp", "torch/torch.h"),
            "framework/plan may not use torch");
  EXPECT_EQ(check("framework/plan/search.cpp", "chrono"), "framework/plan may not use clock");
  EXPECT_EQ(check("framework/plan/search.cpp", "thread"), "framework/plan may not use threads");
  EXPECT_EQ(check("framework/plan/search.cpp", "kernels/sgd/sgd.hpp"),
            "framework/plan may not include kernels");
  EXPECT_EQ(check("kernels/sgd/sgd.cpp", "millrace/topology.hpp"),
            "kernels may not include framework/topology");
  EXPECT_EQ(check("elsewhere/a.cpp", "vector"), "no row of the table covers elsewhere/a.cpp");
}

TEST(UnusedGrants, AreNamed) {
  const RuleTable table = read_table(kSmallTable);
  const std::vector<Include> all = {{"kernels/sgd/sgd.cpp", 1, "omp.h"},
                                    {"framework/plan/plan.cpp", 1, "millrace/errors.hpp"},
                                    {"framework/plan/plan.cpp", 2, "millrace/schedule.hpp"},
                                    {"framework/plan/plan.cpp", 3, "nlohmann/json.hpp"},
                                    {"elsewhere/a.cpp", 1, "omp.h"}};
  EXPECT_EQ(unused_grants(all, table), std::vector<std::string>());
  EXPECT_EQ(unused_grants({all[1], all[4]}, table),
            (std::vector<std::string>{"framework/plan may include framework/schedule",
                                      "framework/plan may use json", "kernels may use openmp"}));
}

TEST(Includes, OfTheProjectKeepTheTable) {
  const std::filesystem::path root = MILLRACE_SOURCE_DIR;
  const RuleTable table = read_table(read_file(root / "docs/architecture.md", "rules"));
  ASSERT_GT(table.size(), 10u);
  const auto includes = collect_includes(root, table);
  ASSERT_GT(includes.size(), 100u);
  for (const Include& include : includes) {
    EXPECT_EQ(violation(include, table), "")
        << include.file << ":" << include.line << " includes " << include.target;
  }
}

TEST(Includes, OfTheProjectNeedAllThatTheTableGrants) {
  const std::filesystem::path root = MILLRACE_SOURCE_DIR;
  const RuleTable table = read_table(read_file(root / "docs/architecture.md", "rules"));
  EXPECT_EQ(unused_grants(collect_includes(root, table), table), std::vector<std::string>())
      << "take them out of the table in docs/architecture.md";
}

TEST(Includes, OfHwlocStandInOneFileOnly) {
  const std::filesystem::path root = MILLRACE_SOURCE_DIR;
  const RuleTable table = read_table(read_file(root / "docs/architecture.md", "rules"));
  std::set<std::string> files;
  for (const Include& include : collect_includes(root, table)) {
    if (library_of(include.target) == "hwloc") files.insert(include.file);
  }
  EXPECT_EQ(files.size(), 1u) << "hwloc.h belongs to one .cpp of framework/topology";
}

}  // namespace
}  // namespace millrace::rules
