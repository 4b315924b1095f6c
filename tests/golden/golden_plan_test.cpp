// Costs -> expected plan, for made-up machines and for every board that comes with Millrace.
// A planned change is accepted with MILLRACE_UPDATE_GOLDEN=1 build/tests/test_golden; the
// difference is read before it is committed.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "framework/base/file.hpp"
#include "millrace/plan.hpp"
#include "millrace/topology.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

using fixtures::Core;
using nlohmann::json;

/// Numbers may differ in their last digits between compilers and processors.
void expect_same(const json& found, const json& expected, const std::string& place) {
  if (expected.is_number_float() && found.is_number()) {
    const double a = found.get<double>(), b = expected.get<double>();
    EXPECT_LE(std::abs(a - b), 1e-9 * std::abs(b)) << place << ": " << a << ", expected " << b;
    return;
  }
  if (!expected.is_structured() || found.type() != expected.type() ||
      found.size() != expected.size()) {
    EXPECT_EQ(found, expected) << place;
    return;
  }
  for (const auto& item : expected.items()) {
    const std::string inside = place + "/" + item.key();
    const bool there = expected.is_array() || found.contains(item.key());
    ASSERT_TRUE(there) << inside;
    expect_same(expected.is_array() ? found[std::stoul(item.key())] : found[item.key()],
                item.value(), inside);
  }
}

/// How long the search took and what it weighed is no part of the plan.
json without_search(const std::string& text) {
  json document = json::parse(text);
  document.erase("search");
  return document;
}

/// `file`: of this folder, or of boards/.
void expect_golden(const std::string& file, const Profile& profile, const PlanRequest& request) {
  SCOPED_TRACE(file);
  const auto result = search_plan(profile, request);
  ASSERT_TRUE(std::holds_alternative<Plan>(result)) << std::get<PlanFailure>(result).reason;
  Plan plan = std::get<Plan>(result);
  EXPECT_TRUE(plan.optimal);
  plan.search = {};
  const std::filesystem::path path = std::string(MILLRACE_SOURCES) + "/" + file;
  if (std::getenv("MILLRACE_UPDATE_GOLDEN") != nullptr) {
    write_file_atomically(path, to_json(plan), "golden");
  }
  const std::string golden = read_file(path, "golden");
  expect_same(without_search(to_json(plan)), without_search(golden), "");
  const Plan read = plan_from_json(golden, path.string());  // a golden plan is one that is accepted
  EXPECT_NEAR(check_plan(read, profile, request).value_ns, plan.value_ns, 1e-9 * plan.value_ns);
}

const Core kBig = {"big", 4, 30}, kLittle = {"little", 4, 7, 4}, kGpu = {"gpu", 1, 120, 8, 1};

TEST(GoldenPlan, TwoEqualCores) {
  expect_golden("tests/golden/plans/two-cores.json", fixtures::alexnet({{"core", 2}}), {});
}

TEST(GoldenPlan, BigAndLittle) {
  expect_golden("tests/golden/plans/big-little.json", fixtures::alexnet({kBig, kLittle}), {});
}

TEST(GoldenPlan, BigAndLittleAndGpu) {
  Profile profile = fixtures::alexnet({kBig, kLittle, kGpu});
  profile.kinds[2].link_ns_per_byte = 0.1;
  profile.kinds[2].link_latency_ns = 20000;
  profile.kinds[2].memory_bytes = 512e6;
  expect_golden("tests/golden/plans/big-little-gpu.json", profile, {});
}

TEST(GoldenPlan, LittleMemory) {
  PlanRequest request;
  request.memory_bytes = 800'000'000;
  expect_golden("tests/golden/plans/little-memory.json", fixtures::alexnet({kBig, kLittle}),
                request);
}

TEST(GoldenPlan, Throughput) {
  PlanRequest request;
  request.objective = Objective::period;
  request.micro_batch = 8;
  expect_golden("tests/golden/plans/period.json", fixtures::alexnet({kBig, kLittle}), request);
}

TEST(GoldenPlan, EveryBoard) {
  for (const std::string& board : board_names()) {
    TopologyRequest machine;
    machine.board = board;
    const Topology topology = discover_topology(machine);
    std::vector<Core> cores;
    PlanRequest request;
    for (const CoreKind& kind : topology.kinds) {
      const double speed = kind.relative_speed;
      cores.push_back({kind.name, int(kind.cpus.size()), 30 * speed, 4 + 4 * speed});
      request.cpus[kind.name] = kind.cpus;
    }
    expect_golden("boards/" + board + "/plan.json", fixtures::alexnet(cores), request);
  }
}

}  // namespace
}  // namespace millrace
