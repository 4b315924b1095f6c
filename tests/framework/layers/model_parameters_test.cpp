// What check_model of millrace/model.hpp asks of parameters.

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include "millrace/errors.hpp"
#include "millrace/model.hpp"

namespace millrace {
namespace {

namespace nn = torch::nn;
using ::testing::AllOf;
using ::testing::HasSubstr;

Model model_of_rows() {
  Model model;
  model.name = "rows";
  model.sample_shape = {4};
  model.classes = 4;
  return model;
}

std::string parameter_refusal(const Model& model) {
  try {
    check_model(model);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(ModelParameters, TwoLayersShareNone) {
  Model model = model_of_rows();
  const nn::Linear shared(4, 4);
  model.add("a", shared).add("b", shared);
  EXPECT_THAT(parameter_refusal(model),
              AllOf(HasSubstr("'b.weight'"), HasSubstr("shares its memory")));
}

TEST(ModelParameters, AreOfFloats) {
  Model model = model_of_rows();
  model.add("fc", nn::Linear(4, 4));
  model.layers[0].module.ptr()->to(at::kDouble);
  EXPECT_THAT(parameter_refusal(model), AllOf(HasSubstr("'fc.weight'"), HasSubstr("float32")));
}

TEST(ModelParameters, AllRequireAGradient) {
  Model model = model_of_rows();
  const nn::Linear linear(4, 4);
  model.add("fc", linear);
  linear->bias.set_requires_grad(false);
  EXPECT_THAT(parameter_refusal(model), AllOf(HasSubstr("'fc.bias' does not require a gradient"),
                                              HasSubstr("set_requires_grad(true)")));
  linear->bias.set_requires_grad(true);
  EXPECT_EQ(parameter_refusal(model), "");
}

TEST(ModelParameters, OfAFrozenEmbeddingAreRefused) {
  Model model = model_of_rows();
  model.vocabulary = 3;
  model.add("embedding", nn::Embedding::from_pretrained(at::ones({3, 4})));
  EXPECT_THAT(parameter_refusal(model), HasSubstr("'embedding.weight' does not require"));
  model.layers[0].module = nn::AnyModule(nn::Embedding::from_pretrained(
      at::ones({3, 4}), nn::EmbeddingFromPretrainedOptions().freeze(false)));
  EXPECT_EQ(parameter_refusal(model), "");
}

}  // namespace
}  // namespace millrace
