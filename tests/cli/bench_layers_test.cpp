#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controller/cli/bench/layers.hpp"

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A convolution and a fully connected layer whose gradient the update makes, measured at 1 and 4
/// samples.
Profile small_profile() {
  Profile profile;
  profile.model = "small";
  profile.samples = {1, 4};
  profile.kinds = {{.name = "big", .count = 2}};
  LayerCosts conv{.name = "conv", .type = "conv2d"};
  conv.forward_ns = {{"big", {100, 400}}};
  conv.backward_ns = {{"big", {200, 800}}};
  conv.update_ns = {{"big", 10}};
  conv.weights_bytes = 40;
  conv.implementation = {{"big", "winograd"}};
  conv.threads_ns = PassWidths{{{"big", {{2, {60, 220}}}}}, {{"big", {{2, {110, 410}}}}}};
  LayerCosts fc = conv;
  fc.name = "fc";
  fc.type = "linear";
  fc.deferred_bytes = 30;
  fc.threads_ns.reset();
  profile.layers = {conv, fc};
  return profile;
}

std::vector<LayerWork> small_work() { return {{"conv", 50, 50, 8, 16}, {"fc", 20, 40, 16, 4}}; }

LayersReport small_report() {
  return {"small", 4,          "big",
          {0, 1},  {1e9, 2e9}, pass_figures(small_profile(), small_work(), "big", 2, 4)};
}

TEST(PassFigures, AreOfTheBatch) {
  const auto passes = small_report().passes;
  ASSERT_EQ(passes.size(), 6U);
  EXPECT_EQ(passes[0].pass, "forward");
  EXPECT_EQ(passes[0].one_core_ns, 400);
  EXPECT_EQ(passes[0].all_cores_ns, 220);
  EXPECT_EQ(passes[0].flops, 200);
  EXPECT_EQ(passes[0].bytes, 4 * (8 + 16) + 40);
  EXPECT_EQ(passes[1].one_core_ns, 800);
  EXPECT_EQ(passes[1].bytes, 4 * 16 + (4 * 8 + 40));  // no input gradient: dy, x and dw
  EXPECT_EQ(passes[2].one_core_ns, 10);
  EXPECT_EQ(passes[2].bytes, 5 * 40);  // weights and momentum read and written, gradient read
}

TEST(PassFigures, BehindLayersWithoutWeightsNoInputGradientIsNeeded) {
  Profile profile = small_profile();
  LayerCosts flatten = profile.layers[0];
  flatten.name = "flatten";
  flatten.weights_bytes = 0;
  profile.layers.insert(profile.layers.begin(), flatten);
  auto work = small_work();
  work.insert(work.begin(), {"flatten", 0, 0, 8, 8});
  const auto passes = pass_figures(profile, work, "big", 2, 4);
  EXPECT_EQ(passes[1].bytes, 0);
  EXPECT_EQ(passes[4].bytes, 4 * 16 + (4 * 8 + 40));
}

TEST(PassFigures, ADeferredGradientIsTheUpdates) {
  const auto passes = small_report().passes;
  EXPECT_EQ(passes[4].flops, 4 * (40 - 20));
  EXPECT_EQ(passes[4].bytes, 4 * (4 + 16) + 40);  // dy, dx and w
  EXPECT_EQ(passes[5].flops, 4 * 20);
  EXPECT_EQ(passes[5].bytes, 4 * 40 + 4 * (16 + 4));
  EXPECT_FALSE(passes[4].all_cores_ns.has_value());
}

TEST(LayersReport, HasEveryPassInJson) {
  const auto json = nlohmann::json::parse(to_json(small_report()));
  EXPECT_EQ(json["matrix_rate"]["all_cores_flops_per_second"], 2e9);
  ASSERT_EQ(json["passes"].size(), 6U);
  EXPECT_EQ(json["passes"][0]["layer"], "conv");
  EXPECT_EQ(json["passes"][0]["implementation"], "winograd");
  EXPECT_EQ(json["passes"][4]["all_cores_ns"], nullptr);
}

TEST(LayersReport, ShowsSharesOfTheMatrixRate) {
  const std::string table = to_table(small_report());
  EXPECT_THAT(table, HasSubstr("50 %"));  // 200 FLOP in 400 ns at 1 GFLOP/s
  EXPECT_THAT(table, HasSubstr("45 %"));  // in 220 ns at 2
  EXPECT_THAT(table, HasSubstr("winograd"));
}

TEST(LayersReport, LeavesOutWhatTakesNoTime) {
  LayersReport report = small_report();
  report.passes[2].one_core_ns = 1;
  report.passes[2].layer = "hardly";
  EXPECT_THAT(to_table(report), Not(HasSubstr("hardly")));
}

}  // namespace
}  // namespace millrace::cli
