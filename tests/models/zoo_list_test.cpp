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

TEST(ZooList, UnknownNameTellsTheClosestAndAll) {
  try {
    model_info("alexnet32");
    FAIL() << "an unknown name was accepted";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("'alexnet32'"));
    EXPECT_THAT(error.what(), HasSubstr("closest is 'alexnet-32'"));
    EXPECT_THAT(error.what(), HasSubstr("lenet5"));
  }
  EXPECT_THROW(model_info(""), ConfigError);
}

}  // namespace
}  // namespace millrace
