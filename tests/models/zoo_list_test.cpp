#include "models/zoo_list.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;

TEST(ZooList, NamesTheModelsOnce) {
  std::vector<std::string> names;
  for (const ModelInfo& info : zoo()) names.push_back(info.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("alexnet", "alexnet-32", "lenet5", "mlp"));
}

TEST(ZooList, FindsByName) {
  EXPECT_EQ(model_info("lenet5").sample_shape, (std::vector<std::int64_t>{1, 28, 28}));
  EXPECT_EQ(model_info("alexnet").default_classes, 1000);
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
  EXPECT_THAT(refusal("gpt"), HasSubstr("one of alexnet, alexnet-32, mlp, lenet5"));
  EXPECT_THAT(refusal(""), HasSubstr("one of"));
}

}  // namespace
}  // namespace millrace
