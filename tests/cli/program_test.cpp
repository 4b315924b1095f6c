// The verbs that need no tensors, run as a user runs them.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/cli/run_program.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::vector<std::string> kVerbs = {"topology", "profile", "plan", "estimate",
                                         "train",    "resume",  "eval", "predict",
                                         "export",   "models",  "data", "bench"};

/// A cost graph of two layers on one kind of two cores.
std::string costs(const std::string& first_layer = R"("name": "a")",
                  const std::string& tensors = R"({"from": "a", "to": ["b"], "bytes": 4})") {
  const std::string rest = R"(, "type": "linear", "forward_ns": {"core": [1000]},
      "backward_ns": {"core": [2000]}, "update_ns": {"core": 10}, "weights_bytes": 1000,
      "saved_bytes": 100, "splits": ["samples"]})";
  return R"({"format": "millrace-costs", "version": 1, "model": "small", "training": true,
    "samples": [1], "kinds": [{"name": "core", "count": 2, "memory_bytes": null,
    "link_ns_per_byte": 0, "link_latency_ns": 0}], "shared_memory_bytes": null,
    "bytes_per_weight_byte": 3, "transfers": "serial", "layers": [{)" +
         first_layer + rest + R"(, {"name": "b")" + rest + R"(], "tensors": [)" + tensors + "]}";
}

TEST(Program, WithoutAVerbSaysWhatThereIs) {
  const ProgramResult result = run_millrace({});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("--help"));
}

TEST(Program, HelpListsEveryVerb) {
  const ProgramResult result = run_millrace({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  for (const std::string& verb : kVerbs) EXPECT_THAT(result.out, HasSubstr("\n  " + verb));
}

TEST(Program, EveryVerbHasHelpWithExamples) {
  for (const std::string& verb : kVerbs) {
    std::vector<std::string> arguments = {verb, "--help"};
    if (verb == "data") arguments = {"data", "make", "--help"};
    const ProgramResult result = run_millrace(arguments);
    EXPECT_EQ(result.exit_code, 0) << verb;
    EXPECT_THAT(result.out,
                AllOf(HasSubstr("Examples:"), HasSubstr("millrace " + verb), HasSubstr("--json")));
    EXPECT_THAT(result.err, IsEmpty()) << verb;
  }
}

TEST(Program, WhatCannotBeWrittenIsAResourceError) {
  for (const char* verb : {"--help", "--version", "models"}) {
    const std::string command = fmt::format("'{}' {} > /dev/full 2>&1", MILLRACE_PROGRAM, verb);
    const int status = std::system(command.c_str());
    EXPECT_EQ(WEXITSTATUS(status), 4) << verb;
  }
}

TEST(Program, LightVerbsLoadNoLibTorch) {
  const TestFolder folder;
  const std::string file = folder.write("costs.json", costs());
  const std::vector<std::vector<std::string>> light = {
      {"--help"}, {"models"}, {"topology"}, {"plan", "--costs", file}};
  for (const auto& arguments : light) {
    const ProgramResult result = run_millrace(arguments, {{"LD_DEBUG", "files"}});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("libc.so"), Not(HasSubstr("libtorch"))))
        << arguments.front();
  }
}

struct Misuse {
  std::vector<std::string> arguments;
  std::vector<std::string> message;  ///< what standard error must hold
};

class Misuses : public ::testing::TestWithParam<Misuse> {};

TEST_P(Misuses, AreTheUsersFaultAndNameTheRemedy) {
  const ProgramResult result = run_millrace(GetParam().arguments);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.out, IsEmpty());
  for (const std::string& text : GetParam().message) EXPECT_THAT(result.err, HasSubstr(text));
}

INSTANTIATE_TEST_SUITE_P(
    Of, Misuses,
    ::testing::Values(
        Misuse{{"profil"}, {"unknown verb 'profil'", "did you mean 'profile'?"}},
        Misuse{{"xyzzy"}, {"unknown verb 'xyzzy'", "one of topology"}},
        Misuse{{"topology", "--jsno"}, {"unknown flag '--jsno'", "did you mean '--json'?"}},
        Misuse{{"plan", "alexnet", "--micro-bacth=4"}, {"did you mean '--micro-batch'?"}},
        Misuse{{"topology", "extra"}, {"unexpected argument 'extra'"}},
        Misuse{{"plan", "alexnt"}, {"alexnt", "alexnet"}}, Misuse{{"plan"}, {"no model is named"}},
        Misuse{{"plan", "alexnet", "--batch", "0"}, {"plan.batch = '0'", "from 1"}},
        Misuse{{"plan", "alexnet", "--batch", "-3"}, {"plan.batch = '-3'"}},
        Misuse{{"plan", "alexnet", "--batch", "many"}, {"plan.batch = 'many'"}},
        Misuse{{"plan", "alexnet", "--batch"}, {"--batch"}},
        Misuse{{"plan", "alexnet", "--memory", "lots"}, {"\"lots\" is no size"}},
        Misuse{{"plan", "alexnet", "--gpu", "1"}, {"cores only"}},
        Misuse{{"plan", "alexnet", "--precision", "fp8"}, {"fp32, bf16 or auto"}},
        Misuse{{"plan", "alexnet", "--set", "plan.bach=3"}, {"did you mean 'plan.batch'?"}},
        Misuse{{"plan", "alexnet", "--set", "plan.batch"}, {"needs key=value"}},
        Misuse{{"plan", "alexnet", "--config", "/nowhere/a.toml"}, {"/nowhere/a.toml"}},
        Misuse{{"plan", "alexnet", "--costs", "x.json"}, {"MODEL or --costs, not both"}},
        Misuse{{"plan", "--costs", "/nowhere/costs.json"}, {"/nowhere/costs.json"}},
        Misuse{{"train", "lenet5", "--out", "x"}, {"--steps N, --time 10m or --deadline 18:30"}},
        Misuse{{"train", "lenet5", "--steps", "3"}, {"--out"}},
        Misuse{{"train", "lenet5", "--steps", "3", "--epochs", "1", "--out", "x"}, {"keep one"}},
        Misuse{{"train", "lenet5", "--time", "soon", "--out", "x"}, {"soon"}},
        Misuse{{"train", "lenet5", "--deadline", "2020-01-01", "--out", "x"}, {"has passed"}},
        Misuse{
            {"train", "lenet5", "--steps", "5", "--deadline", "1h", "--refine", "2", "--out", "x"},
            {"--refine 2", "--deadline"}},
        Misuse{{"estimate", "lenet5", "--steps", "5", "--core-counts", "4..2"}, {"1..8"}},
        Misuse{{"estimate", "lenet5", "--steps", "5", "--core-counts", "1", "--plan", "p.json"},
               {"p.json"}},
        Misuse{{"estimate", "lenet5"}, {"--epochs N or --steps N"}},
        Misuse{{"estimate", "lenet5", "--time", "10m"}, {"--epochs N or --steps N"}},
        Misuse{{"data"}, {"--help"}}, Misuse{{"data", "mkae", "x"}, {"did you mean 'make'?"}},
        Misuse{{"data", "make", "x", "--per-class", "0"}, {"per-class"}},
        Misuse{{"bench", "alexnet", "--only", "paln"}, {"did you mean 'plan'?"}},
        Misuse{{"bench", "alexnet", "--rounds", "0"}, {"--rounds"}},
        Misuse{{"bench", "lenet5", "--estimates=no"}, {"--estimates takes no value"}},
        Misuse{{"topology", "--board", "no-such-board"}, {"no-such-board"}},
        Misuse{{"topology", "--xml", "/nowhere/a.xml"}, {"/nowhere/a.xml"}},
        Misuse{{"topology", "--xml", "a.xml", "--board", "b"}, {"--board"}},
        Misuse{{"completion", "fish"}, {"bash"}}));

TEST(Topology, IsOneDocumentWithTheFieldsThatScriptsUse) {
  const ProgramResult result = run_millrace({"topology", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_FALSE(json.at("kinds").empty());
  for (const auto& kind : json.at("kinds")) {
    EXPECT_TRUE(kind.at("name").is_string());
    EXPECT_FALSE(kind.at("cpus").empty());
    EXPECT_GT(kind.at("relative_speed").get<double>(), 0);
  }
  EXPECT_GT(json.at("memory_bytes").get<double>(), 0);
  EXPECT_TRUE(json.at("gpus").is_array());
  EXPECT_TRUE(json.at("warnings").is_array());
}

TEST(Topology, RefusesXmlThatHwlocRejects) {
  const TestFolder folder;
  const ProgramResult result =
      run_millrace({"topology", "--xml", folder.write("bad.xml", "<topology><object>")});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("bad.xml"));
}

TEST(Models, AreListed) {
  const auto json = nlohmann::json::parse(run_millrace({"models", "--json"}).out);
  EXPECT_EQ(json.at("models").at(0).at("name"), "vgg16");
  EXPECT_THAT(run_millrace({"models"}).out, HasSubstr("lenet5"));
}

TEST(PlanOfCosts, IsAPlanThatPlanReadsBack) {
  const TestFolder folder;
  const std::string file = folder.write("costs.json", costs());
  const ProgramResult result =
      run_millrace({"plan", "--costs", file, "--json", "-o", folder / "plan.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("format"), "millrace-plan");
  EXPECT_EQ(json.at("model"), "small");
  EXPECT_EQ(nlohmann::json::parse(file_text(folder / "plan.json")), json);

  const ProgramResult again =
      run_millrace({"plan", "--costs", file, "--plan", folder / "plan.json", "--json"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(nlohmann::json::parse(again.out).at("stages"), json.at("stages"));
}

TEST(PlanOfCosts, ASwitchMayBeTurnedOff) {
  const TestFolder folder;
  const std::string file = folder.write("costs.json", costs());
  const std::string config =
      folder.write("a.toml", "[plan]\nany_cut = true\nschedule = \"1f1b\"\n");
  const auto plan = [&](const std::string& flag) {
    return run_millrace({"plan", "--costs", file, "--config", config, flag});
  };
  EXPECT_EQ(plan("--any-cut=false").exit_code, 0) << plan("--any-cut=false").err;
  for (const char* on : {"--any-cut", "--any-cut=true"}) {
    EXPECT_EQ(plan(on).exit_code, 2);
    EXPECT_THAT(plan(on).err, HasSubstr("--any-cut gives devices several stages"));
  }
  EXPECT_EQ(plan("--any-cut=maybe").exit_code, 2);
  EXPECT_THAT(plan("--any-cut=maybe").err, HasSubstr("--any-cut"));
}

TEST(PlanOfCosts, IsDrawn) {
  const TestFolder folder;
  const std::string file = folder.write("costs.json", costs());
  EXPECT_THAT(run_millrace({"plan", "--costs", file}).out, HasSubstr("stage 0"));
  EXPECT_GT(run_millrace({"plan", "--costs", file, "--explain"}).out.size(), 100u);
}

TEST(PlanOfCosts, ThatDoesNotFitIsNoPlan) {
  const TestFolder folder;
  const ProgramResult result =
      run_millrace({"plan", "--costs", folder.write("costs.json", costs()), "--memory", "100"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("[plan]"));
}

TEST(PlanOfCosts, BadFilesAreNamed) {
  const TestFolder folder;
  const auto refused = [&](const std::string& text, const std::string& word) {
    const ProgramResult result = run_millrace({"plan", "--costs", folder.write("bad.json", text)});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("bad.json"), HasSubstr(word)));
  };
  refused("", "bad.json");
  refused("{", "bad.json");
  refused(
      costs(R"("name": "a")",
            R"({"from": "a", "to": ["b"], "bytes": 4}, {"from": "b", "to": ["a"], "bytes": 4})"),
      "cycle");
  refused(costs(R"("name": "a")", R"({"from": "a", "to": ["c"], "bytes": 4})"), "c");
  refused(costs(R"("name": "a", "colour": "red")"), "colour");
}

TEST(PlanOfCosts, ABadPlanIsRefused) {
  const TestFolder folder;
  const std::string file = folder.write("costs.json", costs());
  ASSERT_EQ(run_millrace({"plan", "--costs", file, "-o", folder / "plan.json"}).exit_code, 0);
  const auto plan = nlohmann::json::parse(file_text(folder / "plan.json"));
  const auto refused = [&](const nlohmann::json& bad, const std::string& word) {
    const ProgramResult result =
        run_millrace({"plan", "--costs", file, "--plan", folder.write("bad.json", bad.dump())});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(word));
  };
  auto other_model = plan;
  other_model["model"] = "other";
  refused(other_model, "other");
  auto other_version = plan;
  other_version["version"] = 99;
  refused(other_version, "99");
  auto missing_layer = plan;
  missing_layer["stages"][0]["layers"] = {"a"};
  refused(missing_layer, "b");
}

TEST(Memory, BelowTheWeightsIsRefusedBeforeAnythingIsMeasured) {
  const ProgramResult result = run_millrace({"plan", "alexnet", "--memory", "100M"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, AllOf(HasSubstr("[plan]"), HasSubstr("100 MiB"), HasSubstr("alexnet")));
}

TEST(Output, ThatCannotBeWrittenIsReported) {
  const TestFolder folder;
  const ProgramResult result = run_millrace(
      {"plan", "--costs", folder.write("c.json", costs()), "-o", "/nowhere/plan.json"});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, HasSubstr("/nowhere/plan.json"));
}

TEST(Completion, IsAScriptThatBashAccepts) {
  const ProgramResult result = run_millrace({"completion", "bash"});
  ASSERT_EQ(result.exit_code, 0);
  const TestFolder folder;
  const std::string script = folder.write("completion.bash", result.out);
  EXPECT_EQ(std::system(("bash -n " + script).c_str()), 0);
  const std::string complete = "source " + script +
                               "; COMP_WORDS=(millrace plan --micro-b) COMP_CWORD=2; _millrace; "
                               "test \"${COMPREPLY[*]}\" = --micro-batch";
  EXPECT_EQ(std::system(("bash -c '" + complete + "'").c_str()), 0);
}

}  // namespace
}  // namespace millrace::cli
