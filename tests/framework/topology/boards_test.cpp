#include "framework/topology/boards.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "framework/base/file.hpp"
#include "framework/base/json_reader.hpp"
#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

const std::filesystem::path kBoards = MILLRACE_TEST_BOARDS;

/// What boards/NAME/expected.json says.
struct Expected {
  std::vector<CoreKind> kinds;
  std::vector<std::string> warnings;
};

CoreKind expected_kind(JsonReader reader) {
  CoreKind kind{reader.text("name"), parse_cpu_list(reader.text("cpus")),
                reader.number("relative_speed"), reader.text("model")};
  reader.finish();
  return kind;
}

Expected read_expected(const std::string& board) {
  const auto file = kBoards / board / "expected.json";
  const json document = JsonReader::parse(read_file(file, "test"), "test", file.string());
  JsonReader reader(document, "test", file.string(), "");
  Expected expected;
  for (std::size_t i = 0; i < reader.array("kinds").size(); ++i) {
    expected.kinds.push_back(expected_kind(reader.element("kinds", i)));
  }
  expected.warnings = reader.array("warnings").get<std::vector<std::string>>();
  reader.finish();
  return expected;
}

std::vector<std::string> names_in_source_tree() {
  const ScopedVariable here("MILLRACE_BOARDS", kBoards.string());
  return board_names();
}

class EveryBoard : public ::testing::TestWithParam<std::string> {
 protected:
  ScopedVariable boards_{"MILLRACE_BOARDS", kBoards.string()};
  Topology topology_ = discover_topology({.board = GetParam()});
};

TEST_P(EveryBoard, HasTheExpectedKindsAndWarnings) {
  const Expected expected = read_expected(GetParam());
  ASSERT_EQ(topology_.kinds.size(), expected.kinds.size());
  for (std::size_t i = 0; i < expected.kinds.size(); ++i) {
    EXPECT_EQ(topology_.kinds[i].name, expected.kinds[i].name);
    EXPECT_EQ(topology_.kinds[i].cpus, expected.kinds[i].cpus);
    EXPECT_EQ(topology_.kinds[i].model, expected.kinds[i].model);
    EXPECT_NEAR(topology_.kinds[i].relative_speed, expected.kinds[i].relative_speed, 5e-5);
  }
  std::vector<std::string> tags;
  for (const Warning& warning : topology_.warnings) tags.push_back(warning.tag);
  EXPECT_EQ(tags, expected.warnings);
}

TEST_P(EveryBoard, AgreesWithItsTopologyFile) {
  std::int64_t nodes = 0;
  for (const NumaNode& node : topology_.numa_nodes) nodes += node.memory_bytes;
  EXPECT_EQ(topology_.memory_bytes, nodes);
  std::vector<int> described;
  for (const BoardCores& cores : topology_.board->cores) {
    described.insert(described.end(), cores.cpus.begin(), cores.cpus.end());
  }
  EXPECT_THAT(described, ::testing::UnorderedElementsAreArray(topology_.cpus()));
}

TEST_P(EveryBoard, IsAnotherMachine) {
  EXPECT_EQ(topology_.source, "board:" + GetParam());
  EXPECT_EQ(topology_.machine, topology_.board->soc);
  EXPECT_EQ(topology_.memory_available_bytes, 0);
  EXPECT_EQ(topology_.gpus.size(), topology_.board->gpu_sources.size());
}

TEST_P(EveryBoard, NamesASourceForEveryFact) {
  const BoardFacts& facts = *topology_.board;
  EXPECT_FALSE(facts.products.empty());
  EXPECT_FALSE(facts.memory_source.empty());
  EXPECT_FALSE(facts.caches_source.empty());
  for (const BoardCores& cores : facts.cores) EXPECT_FALSE(cores.source.empty()) << cores.model;
  for (const std::string& source : facts.gpu_sources) EXPECT_FALSE(source.empty());
}

TEST_P(EveryBoard, HasPlausibleOperatingPoints) {
  for (const BoardCores& cores : topology_.board->cores) {
    for (const OperatingPoint& point : cores.operating_points) {
      EXPECT_LE(point.mhz, cores.max_mhz);
      EXPECT_GT(point.watts, 0.01);
      EXPECT_LT(point.watts, 5.0);
    }
  }
}

TEST_P(EveryBoard, RoundTripsAsJson) {
  EXPECT_EQ(topology_from_json(to_json(topology_)), topology_);
}

TEST_P(EveryBoard, CanBeGivenWithoutItsGpus) {
  EXPECT_THAT(discover_topology({.board = GetParam(), .list_gpus = false}).gpus, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(All, EveryBoard, ::testing::ValuesIn(names_in_source_tree()),
                         [](const auto& board) {
                           std::string name = board.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Boards, AreAtLeastTheseTen) {
  EXPECT_THAT(names_in_source_tree(),
              IsSupersetOf({"exynos8890", "gb10", "hikey960", "hikey970", "jetson-nano", "kirin620",
                            "odroid-xu4", "pixel-8", "rk3588", "rpi5"}));
}

TEST(Boards, AreFoundInTheSourceTree) {
  const ScopedVariable none("MILLRACE_BOARDS", std::nullopt);
  EXPECT_EQ(board_names(), names_in_source_tree());
}

// P = 416 uW/MHz/V2 x 2400 MHz x (1.0 V)2
TEST(Boards, PowerIsCoefficientTimesClockTimesVoltageSquared) {
  const ScopedVariable here("MILLRACE_BOARDS", kBoards.string());
  const auto points = read_board("rk3588").facts.cores.at(1).operating_points;
  EXPECT_NEAR(points.front().watts, 0.9984, 1e-9);
  EXPECT_NEAR(points.back().watts, 416e-6 * 1200 * 0.675 * 0.675, 1e-9);
}

// A boards folder of the test's own with one board, "own", that can be spoilt.
class OwnBoard : public ::testing::Test {
 protected:
  OwnBoard() : boards_("MILLRACE_BOARDS", tree_.root().string()) {
    const auto rpi5 = kBoards / "rpi5";
    document_ = json::parse(read_file(rpi5 / "board.json", "test"));
    tree_.write("own/topology.xml", read_file(rpi5 / "topology.xml", "test"));
    tree_.write("own/board.json", document_.dump());
    tree_.write("README.md", "no board");
    tree_.write("empty/notes.txt", "no board either");
  }
  std::string refusal_of(const std::string& content) {
    tree_.write("own/board.json", content);
    return refusal([] { discover_topology({.board = "own"}); });
  }

  FileTree tree_;
  ScopedVariable boards_;
  json document_;
};

TEST_F(OwnBoard, IsFoundWhereTheVariableSays) {
  EXPECT_THAT(board_names(), ElementsAre("own"));
  EXPECT_EQ(discover_topology({.board = "own"}).kinds.at(0).model, "Cortex-A76");
}

TEST_F(OwnBoard, ThatIsNotThereIsRefusedWithThoseThatAre) {
  for (const char* name : {"rpi9", "", "..", "../own", "own/", "README.md", "empty"}) {
    EXPECT_THAT(
        refusal([name] { discover_topology({.board = name}); }),
        AllOf(HasSubstr("[board] \"" + std::string(name) + "\""), HasSubstr("choose one of own")));
  }
}

TEST_F(OwnBoard, WithoutItsTopologyIsRefused) {
  std::filesystem::remove(tree_.root() / "own/topology.xml");
  EXPECT_THAT(refusal([] { discover_topology({.board = "own"}); }),
              AllOf(HasSubstr("topology.xml"), HasSubstr("No such file")));
}

TEST_F(OwnBoard, ThatIsNoJsonIsRefused) {
  EXPECT_THAT(refusal_of("{"),
              AllOf(HasSubstr("[board]"), HasSubstr("own/board.json"), HasSubstr("not JSON")));
  EXPECT_THAT(refusal_of("[]"), HasSubstr("an object is needed"));
}

TEST_F(OwnBoard, WithWrongFieldsIsRefused) {
  const std::vector<std::pair<const char*, const char*>> patches = {
      {R"({"format": "millrace-plan"})", "format is"},
      {R"({"version": 9})", "version is 9"},
      {R"({"toolchain": "x"})", "toolchain is not a field"},
      {R"({"soc": null})", "soc is missing"},
      {R"({"products": [1]})", "products holds 1, a list of text is needed"},
      {R"({"memory": {"bytes": 0}})", "memory.bytes is 0"},
      {R"({"memory": {"ecc": true}})", "memory.ecc is not a field"},
      {R"({"caches": {"level": 1}})", "caches.level is not a field"},
      {R"({"gpus": [{"name": "G", "api": "metal", "source": ""}]})", "gpus[0].api is neither"},
      {R"({"cores": [{"model": "A", "cpus": "3-1", "max_mhz": 1, "source": ""}]})",
       "ends before it begins"},
      {R"({"cores": [{"model": "A", "cpus": "0", "max_mhz": 1.5, "source": ""}]})",
       "cores[0].max_mhz is 1.5"},
      {R"({"cores": [{"model": "A", "cpus": "0", "max_mhz": 1}]})", "cores[0].source is missing"}};
  for (const auto& [patch, message] : patches) {
    json document = document_;
    document.merge_patch(json::parse(patch));
    EXPECT_THAT(refusal_of(document.dump()), HasSubstr(message));
  }
}

TEST_F(OwnBoard, WithPowerInTheWrongOrderIsRefused) {
  json document = document_;
  document["cores"][0]["power"] = json::parse(R"({"microwatts_per_mhz_volt2": 416, "points": [
      {"mhz": 1200, "volts": 0.7}, {"mhz": 2400, "volts": 1}]})");
  EXPECT_THAT(refusal_of(document.dump()), HasSubstr("put the fastest first"));
}

std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen(command.c_str(), "r");
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  return ::pclose(pipe) == 0 ? output : "failed";
}

TEST(BoardsFolder, OfAnInstalledProgramStandsInItsShare) {
  const ScopedVariable none("MILLRACE_BOARDS", std::nullopt);
  const FileTree prefix;
  prefix.write("share/millrace/boards/installed-board/board.json", "{}");
  std::filesystem::create_directory(prefix.root() / "bin");
  std::filesystem::copy_file(MILLRACE_PRINT_BOARDS, prefix.root() / "bin/program");
  EXPECT_EQ(output_of((prefix.root() / "bin/program").string()), "installed-board\n");
}

TEST(BoardsFolder, ThatIsNoneIsRefused) {
  const ScopedVariable nowhere("MILLRACE_BOARDS", "/no/such/folder");
  EXPECT_THAT(refusal([] { board_names(); }),
              AllOf(HasSubstr("[board] MILLRACE_BOARDS=/no/such/folder"), HasSubstr("unset it")));
}

}  // namespace
}  // namespace millrace
