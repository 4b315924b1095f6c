#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "millrace/topology.hpp"
#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kCpus = 4;

std::string mask(unsigned bits) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", bits);
  return text;
}

std::string sets(unsigned bits) {
  return " cpuset=\"" + mask(bits) + "\" complete_cpuset=\"" + mask(bits) +
         "\" nodeset=\"0x1\" complete_nodeset=\"0x1\"";
}

std::string core_xml(int core, const std::vector<int>& cpus) {
  unsigned all = 0;
  std::string units;
  for (const int cpu : cpus) {
    all |= 1u << cpu;
    units +=
        "<object type=\"PU\" os_index=\"" + std::to_string(cpu) + "\"" + sets(1u << cpu) + "/>";
  }
  return "<object type=\"Core\" os_index=\"" + std::to_string(core) + "\"" + sets(all) + ">" +
         units + "</object>\n";
}

/// hwloc's XML of a machine with these cores; `kinds` are <cpukind> elements.
std::string machine_xml(const std::vector<std::vector<int>>& cores, const std::string& kinds = "") {
  unsigned all = 0;
  std::string body;
  for (std::size_t core = 0; core < cores.size(); ++core) {
    for (const int cpu : cores[core]) all |= 1u << cpu;
    body += core_xml(static_cast<int>(core), cores[core]);
  }
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
         "<topology version=\"2.0\">\n<object type=\"Machine\" os_index=\"0\"" +
         sets(all) + " allowed_cpuset=\"" + mask(all) +
         "\" allowed_nodeset=\"0x1\">\n<info name=\"DMIProductName\" value=\"Testboard\"/>\n"
         "<object type=\"NUMANode\" os_index=\"0\"" +
         sets(all) + " local_memory=\"1073741824\"/>\n" + body + "</object>\n" + kinds +
         "</topology>\n";
}

std::string kind_xml(unsigned cpus, const std::string& name, const std::string& value) {
  return "<cpukind cpuset=\"" + mask(cpus) + "\"><info name=\"" + name + "\" value=\"" + value +
         "\"/></cpukind>\n";
}

class Discover : public ::testing::Test {
 protected:
  Topology read(const std::string& xml) const {
    return discover_topology({.xml_file = tree_.write("machine.xml", xml).string()});
  }
  std::string refusal_of(const std::string& xml) const {
    return refusal([&] { read(xml); });
  }

  FileTree tree_;
  ScopedVariable no_xml_{"HWLOC_XMLFILE", std::nullopt};
  ScopedVariable not_this_system_{"HWLOC_THISSYSTEM", std::nullopt};
};

TEST_F(Discover, ReadsAnXmlFile) {
  const Topology topology =
      read(machine_xml({{0}, {1}, {2}, {3}}, kind_xml(0x3, "LinuxCapacity", "512") +
                                                 kind_xml(0xc, "LinuxCapacity", "1024")));
  EXPECT_EQ(topology.source, "xml:" + (tree_.root() / "machine.xml").string());
  EXPECT_EQ(topology.machine, "Testboard");
  EXPECT_EQ(topology.kinds,
            (std::vector<CoreKind>{{"big", {2, 3}, 1.0, ""}, {"little", {0, 1}, 0.5, ""}}));
  EXPECT_EQ(topology.memory_bytes, 1 << 30);
  EXPECT_EQ(topology.numa_nodes, (std::vector<NumaNode>{{0, 1 << 30, {0, 1, 2, 3}}}));
  EXPECT_EQ(topology.memory_available_bytes, 0);
  EXPECT_THAT(topology.gpus, IsEmpty());
  EXPECT_THAT(topology.warnings, IsEmpty());
}

TEST_F(Discover, ReadsSiblings) {
  const Topology topology = read(machine_xml({{0, 2}, {1, 3}}));
  EXPECT_THAT(topology.cores, ElementsAre(ElementsAre(0, 2), ElementsAre(1, 3)));
  EXPECT_THAT(topology.kinds, SizeIs(1));
}

// Kirin 620 as its kernel tells it: one kind that covers half of the cores.
TEST_F(Discover, GivesUncoveredCoresAKindOfTheirOwn) {
  const Topology topology =
      read(machine_xml({{0}, {1}, {2}, {3}}, kind_xml(0x3, "FrequencyMaxMHz", "1200")));
  ASSERT_THAT(topology.kinds, SizeIs(2));
  EXPECT_THAT(topology.kinds[1].cpus, ElementsAre(2, 3));
  EXPECT_THAT(topology.warnings, SizeIs(1));
}

TEST_F(Discover, RefusesWhatHwlocRejects) {
  const std::string good = machine_xml({{0}, {1}});
  const std::vector<std::string> bad = {"",
                                        "no XML at all",
                                        "<topology",
                                        "<?xml version=\"1.0\"?><other/>",
                                        good.substr(0, good.size() / 2),
                                        std::string(4096, '\0'),
                                        "<topology version=\"3.0\"></topology>",
                                        "<topology version=\"2.0\"></topology>"};
  for (const std::string& xml : bad) {
    EXPECT_THAT(refusal_of(xml), AllOf(HasSubstr("[topology]"), HasSubstr("machine.xml"),
                                       HasSubstr("lstopo --of xml")))
        << xml.substr(0, 40);
  }
}

TEST_F(Discover, RefusesFilesThatAreNone) {
  EXPECT_THAT(refusal([&] { discover_topology({.xml_file = "/no/such/file.xml"}); }),
              AllOf(HasSubstr("/no/such/file.xml"), HasSubstr("No such file")));
  EXPECT_THAT(refusal([&] { discover_topology({.xml_file = tree_.root().string()}); }),
              HasSubstr("Is a directory"));
}

TEST_F(Discover, RefusesAnXmlFileAndABoardAtOnce) {
  EXPECT_THAT(refusal([] { discover_topology({.xml_file = "a.xml", .board = "rpi5"}); }),
              AllOf(HasSubstr("a.xml"), HasSubstr("rpi5"), HasSubstr("one of them")));
}

TEST_F(Discover, ReadsThisMachine) {
  const Topology topology = discover_topology({.list_gpus = false});
  cpu_set_t mask;
  ASSERT_EQ(::sched_getaffinity(0, sizeof mask, &mask), 0);
  EXPECT_EQ(topology.source, "machine");
  EXPECT_EQ(topology.cpus().size(), static_cast<std::size_t>(CPU_COUNT(&mask)));
  for (const int cpu : topology.cpus()) EXPECT_TRUE(CPU_ISSET(cpu, &mask)) << cpu;
  EXPECT_EQ(topology.limits.allowed_cpus, topology.cpus());
  EXPECT_GT(topology.memory_bytes, 0);
  EXPECT_GT(topology.memory_available_bytes, 0);
  EXPECT_LE(topology.memory_available_bytes, topology.memory_bytes);
  EXPECT_THAT(topology.gpus, IsEmpty());
}

TEST_F(Discover, FollowsTheAffinityMask) {
  const int last = discover_topology({.list_gpus = false}).cpus().back();
  std::thread([last] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(last, &mask);
    ASSERT_EQ(::sched_setaffinity(0, sizeof mask, &mask), 0);
    const Topology topology = discover_topology({.list_gpus = false});
    EXPECT_THAT(topology.cpus(), ElementsAre(last));
    EXPECT_THAT(topology.cores, ElementsAre(ElementsAre(last)));
    EXPECT_THAT(topology.kinds,
                ElementsAre(CoreKind{"core", {last}, 1.0, topology.kinds[0].model}));
  }).join();
}

TEST_F(Discover, TakesTheMachineFromTheEnvironment) {
  const std::string file = tree_.write("env.xml", machine_xml({{0}, {1}, {2}, {3}})).string();
  const ScopedVariable xml("HWLOC_XMLFILE", file);
  const Topology topology = discover_topology({});
  EXPECT_EQ(topology.source, "xml:" + file);
  EXPECT_THAT(topology.cpus(), SizeIs(kCpus));
  EXPECT_THAT(topology.gpus, IsEmpty()) << "the GPUs are those of another machine";
  ASSERT_THAT(topology.warnings, SizeIs(1));
  EXPECT_THAT(topology.warnings[0].message, HasSubstr("HWLOC_XMLFILE"));
}

TEST_F(Discover, NamesTheVariableWhereTheEnvironmentsFileIsBad) {
  const ScopedVariable xml("HWLOC_XMLFILE", tree_.write("bad.xml", "no XML").string());
  EXPECT_THAT(refusal([] { discover_topology({}); }), HasSubstr("HWLOC_XMLFILE="));
}

TEST_F(Discover, MarksWhatHwlocMakesUp) {
  const ScopedVariable synthetic("HWLOC_SYNTHETIC", "core:2 pu:2");
  const Topology topology = discover_topology({});
  EXPECT_EQ(topology.source, "environment");
  EXPECT_THAT(topology.cores, ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)));
}

// HWLOC_THISSYSTEM=1: the kinds of the file, the limits and the binding of this machine.
TEST_F(Discover, KeepsThisMachinesLimitsUnderThisSystem) {
  const int cpu = discover_topology({.list_gpus = false}).cpus().front();
  if (cpu > 30) GTEST_SKIP() << "CPU 0-30 is needed for a mask of one word, not " << cpu;
  const std::string both =
      machine_xml({{cpu}, {cpu + 1}}, kind_xml(1u << cpu, "CoreType", "Little"));
  const ScopedVariable this_system("HWLOC_THISSYSTEM", "1");
  const ScopedVariable xml("HWLOC_XMLFILE", tree_.write("slow.xml", both).string());
  std::thread([cpu] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(cpu, &mask);
    ASSERT_EQ(::sched_setaffinity(0, sizeof mask, &mask), 0);
    const Topology topology = discover_topology({.list_gpus = false});
    EXPECT_EQ(topology.source, "machine");
    EXPECT_EQ(topology.kinds, (std::vector<CoreKind>{{"core", {cpu}, 1.0, "Little"}}));
    EXPECT_GT(topology.memory_available_bytes, 0);
  }).join();
}

TEST_F(Discover, RefusesAFileWithoutAnAllowedCoreUnderThisSystem) {
  const int cpu = discover_topology({.list_gpus = false}).cpus().front();
  const int other = cpu == 0 ? 1 : 0;
  const ScopedVariable this_system("HWLOC_THISSYSTEM", "1");
  const ScopedVariable xml("HWLOC_XMLFILE",
                           tree_.write("other.xml", machine_xml({{other}})).string());
  std::thread([cpu] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(cpu, &mask);
    ASSERT_EQ(::sched_setaffinity(0, sizeof mask, &mask), 0);
    EXPECT_THAT(refusal([] { discover_topology({.list_gpus = false}); }),
                HasSubstr("no core is allowed"));
  }).join();
}

}  // namespace
}  // namespace millrace
