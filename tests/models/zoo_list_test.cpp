#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "millrace/errors.hpp"
#include "models/zoo/list.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;

TEST(ZooList, NamesTheModelsOnce) {
  std::vector<std::string> names;
  for (const ModelInfo& info : zoo()) names.push_back(info.name);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  EXPECT_THAT(names, ::testing::IsSupersetOf({"alexnet", "lenet5", "resnet18", "vgg16"}));
}

TEST(ZooList, HasTheLargestFirst) {
  EXPECT_TRUE(std::is_sorted(zoo().begin(), zoo().end(), [](const auto& a, const auto& b) {
    return a.parameters > b.parameters;
  }));
}

TEST(ZooList, FindsByName) {
  EXPECT_EQ(model_info("lenet5").sample_shape, (std::vector<std::int64_t>{1, 28, 28}));
  EXPECT_EQ(model_info("alexnet").default_classes, 1000);
}

TEST(ZooList, ThoseOfTransformedInputCentrePhotos) {
  std::vector<std::string> names;
  for (const ModelInfo& info : zoo())
    if (info.centres_photos) names.push_back(info.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("googlenet", "inception_v3"));
}

std::string refusal(const std::string& name) {
  try {
    model_info(name);
    return "accepted";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

TEST(ZooList, UnknownNameTellsTheClosestOrAll) {
  EXPECT_THAT(refusal("alexnet32"), HasSubstr("'alexnet32': did you mean 'alexnet-32'?"));
  EXPECT_THAT(refusal("gpt"), HasSubstr("one of vgg16, vgg11, alexnet, alexnet-32"));
  EXPECT_THAT(refusal(""), HasSubstr("one of"));
}

}  // namespace
}  // namespace millrace
