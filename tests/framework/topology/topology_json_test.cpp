#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "millrace/topology.hpp"
#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

Topology full() {
  Topology topology;
  topology.source = "machine";
  topology.machine = "A \"machine\" ü";
  topology.kinds = {{"big", {2, 3}, 1.0, "Cortex-A76"}, {"little", {0, 1}, 0.38671875, ""}};
  topology.cores = {{0}, {1}, {2, 3}};
  topology.caches = {{1, "data", 32768, {0}}, {3, "unified", 3 << 20, {0, 1, 2, 3}}};
  topology.numa_nodes = {{0, std::int64_t{1} << 40, {0, 1, 2, 3}}};
  topology.memory_bytes = std::int64_t{1} << 40;
  topology.memory_available_bytes = 12345;
  topology.gpus = {{"Mali", "opencl", 1 << 30, false}, {"pthread", "opencl", 5, true}};
  topology.limits = {{0, 1, 2, 3}, 1.5, std::int64_t{4} << 30};
  topology.warnings = {{"quota", "too little"}, {"smt", "two on one"}};
  topology.board =
      BoardFacts{"SoC",
                 {"Board A", "Board B"},
                 {{"Cortex-A76", {2, 3}, 2400, {{2400, 1.0, 0.998}, {1200, 0.675, 0.227}}, "dts"}},
                 "brief",
                 "dtsi",
                 {"datasheet", "clinfo"}};
  return topology;
}

TEST(TopologyJson, RoundTripsEveryField) { EXPECT_EQ(topology_from_json(to_json(full())), full()); }

TEST(TopologyJson, RoundTripsAnEmptyMachine) {
  Topology topology;
  topology.kinds = {{"core", {0}, 1.0, ""}};
  EXPECT_EQ(topology_from_json(to_json(topology)), topology);
  EXPECT_FALSE(json::parse(to_json(topology)).contains("board"));
}

TEST(TopologyJson, HasTheFieldsThatScriptsUse) {
  const json document = json::parse(to_json(full()));
  EXPECT_EQ(document["format"], "millrace-topology");
  EXPECT_EQ(document["version"], 1);
  EXPECT_EQ(document["kinds"][0]["name"], "big");
  EXPECT_EQ(document["kinds"][0]["cpus"], json::parse("[2, 3]"));
  EXPECT_EQ(document["kinds"][1]["relative_speed"], 0.38671875);
  EXPECT_EQ(document["gpus"][0]["name"], "Mali");
  EXPECT_EQ(document["memory_bytes"], std::int64_t{1} << 40);
  EXPECT_EQ(document["warnings"][1]["tag"], "smt");
  EXPECT_EQ(document["warnings"][1]["message"], "two on one");
}

TEST(TopologyJson, WritesAbsentLimitsAsNull) {
  Topology topology = full();
  topology.limits = {{0}, std::nullopt, std::nullopt};
  const json limits = json::parse(to_json(topology))["limits"];
  EXPECT_TRUE(limits["cpu_quota"].is_null());
  EXPECT_TRUE(limits["memory_limit_bytes"].is_null());
}

struct Change {
  const char* place;  ///< JSON pointer
  const char* value;  ///< as JSON text; "" removes the field
  const char* message;
};

class BadTopologyJson : public ::testing::TestWithParam<Change> {};

TEST_P(BadTopologyJson, IsRefused) {
  const auto& [place, value, message] = GetParam();
  json document = json::parse(to_json(full()));
  const json::json_pointer pointer(place);
  if (std::string(value).empty()) {
    document.at(pointer.parent_pointer()).erase(pointer.back());
  } else {
    document[pointer] = json::parse(value);
  }
  EXPECT_THAT(refusal([&] { topology_from_json(document.dump()); }),
              AllOf(HasSubstr("[topology] topology: "), HasSubstr(message)));
}

// Texts, since the compiler takes minutes for as many JSON values under the sanitizers.
const Change kChanges[] = {
    {"/format", "\"millrace-plan\"", "format is \"millrace-plan\""},
    {"/version", "2", "version is 2"},
    {"/extra", "1", "extra is not a field"},
    {"/source", "", "source is missing"},
    {"/machine", "5", "machine is 5"},
    {"/kinds", "[]", "kinds is empty"},
    {"/kinds", "5", "kinds is number"},
    {"/kinds/0/cpus", "[]", "kinds[0].cpus is empty"},
    {"/kinds/0/cpus/0", "-1", "kinds[0].cpus holds -1"},
    {"/kinds/0/cpus/0", "2.5", "kinds[0].cpus holds 2.5"},
    {"/kinds/0/cpus/0", "5000000000", "kinds[0].cpus holds 5000000000"},
    {"/kinds/0/cpus/0", "3", "kinds names CPU 3 twice"},
    {"/kinds/1/cpus/0", "2", "kinds names CPU 2 twice"},
    {"/kinds/0/relative_speed", "0", "kinds[0].relative_speed is 0"},
    {"/kinds/0/relative_speed", "\"1\"", "kinds[0].relative_speed is \"1\""},
    {"/kinds/0/model", "", "kinds[0].model is missing"},
    {"/kinds/0/colour", "\"red\"", "kinds[0].colour is not a field"},
    {"/cores/0", "0", "cores is not a list"},
    {"/cores/0", "[]", "without a CPU"},
    {"/caches/0/bytes", "-1", "caches[0].bytes is -1"},
    {"/caches/0/level", "3000000000", "caches[0].level is too large"},
    {"/numa_nodes/0/index", "0.5", "numa_nodes[0].index is 0.5"},
    {"/memory_bytes", "-1", "memory_bytes is -1"},
    {"/memory_available_bytes", "1e300", "memory_available_bytes is"},
    {"/gpus/0/runs_on_cpu", "1", "gpus[0].runs_on_cpu is 1"},
    {"/gpus/0/api", "", "gpus[0].api is missing"},
    {"/limits/cpu_quota", "-1", "limits.cpu_quota is -1"},
    {"/limits/cpu_quota", "", "limits.cpu_quota is missing"},
    {"/limits/memory_limit_bytes", "\"4G\"", "limits.memory_limit_bytes is"},
    {"/limits/more", "1", "limits.more is not a field"},
    {"/warnings/0", "\"text\"", "warnings[0] is string"},
    {"/board/products/0", "7", "board.products holds 7"},
    {"/board/cores/0/operating_points/1/volts", "-1", "operating_points[1].volts is -1"},
    {"/board/soc", "", "board.soc is missing"}};

INSTANTIATE_TEST_SUITE_P(All, BadTopologyJson, ::testing::ValuesIn(kChanges));

TEST(TopologyJson, RefusesWhatIsNoDocument) {
  for (const char* text : {"", "{", "[]", "null", "7", "{\"format\": \"millrace-topology\"}"}) {
    EXPECT_THAT(refusal([text] { topology_from_json(text); }), HasSubstr("[topology]")) << text;
  }
}

}  // namespace
}  // namespace millrace
