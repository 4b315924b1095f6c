#include "models/weights.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>

#include <cstring>

#include "framework/base/file.hpp"
#include "models/zoo/zoo.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace millrace::testing;

Model fresh(std::uint64_t seed, std::int64_t classes = 10) {
  return make_model("lenet5", classes, seed);
}

/// Names of the parameters that differ.
std::vector<std::string> differing(const Model& a, const Model& b) {
  const auto left = named_parameters(a), right = named_parameters(b);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!at::equal(left[i].second, right[i].second)) names.push_back(left[i].first);
  }
  return names;
}

class Weights : public ::testing::Test {
 protected:
  std::string saved(std::vector<TensorView> tensors) const {
    const std::string file = folder_ / "weights.safetensors";
    write_safetensors(file, std::move(tensors), {});
    return file;
  }

  const ScratchFolder folder_;
};

TEST_F(Weights, RoundTrip) {
  const Model from = fresh(1), to = fresh(2);
  ASSERT_EQ(differing(from, to).size(), named_parameters(from).size());
  load_weights(to, saved(weights_of(from)));
  EXPECT_TRUE(differing(from, to).empty());
}

TEST_F(Weights, RunningStatisticsGoWithThem) {
  const Model from = make_model("resnet20", 10, 1), to = make_model("resnet20", 10, 2);
  for (auto& [name, value] : named_buffers(from)) value.add_(0.25);
  std::vector<TensorView> tensors = weights_of(from);
  const std::int64_t batches = 7;  // as PyTorch counts them
  tensors.push_back({"bn1.num_batches_tracked", "I64", {}, &batches, 8});
  load_weights(to, saved(std::move(tensors)));
  EXPECT_TRUE(differing(from, to).empty());
  const auto expected = named_buffers(from), actual = named_buffers(to);
  ASSERT_EQ(actual.size(), 2U * 21);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].first, expected[i].first);
    EXPECT_TRUE(at::equal(actual[i].second, expected[i].second)) << actual[i].first;
  }
  std::vector<TensorView> without = weights_of(from);
  std::erase_if(without, [](const auto& tensor) { return tensor.name == "bn1.running_var"; });
  EXPECT_THAT(message_of([&] { load_weights(to, saved(std::move(without))); }),
              HasSubstr("lacks bn1.running_var"));
}

/// Headers whose length begins with the bytes that begin pickles and zip archives.
TEST_F(Weights, LengthsThatLookLikeOtherFormatsDoNotMatter) {
  const Model model = fresh(1);
  const std::string file = folder_ / "weights.safetensors";
  for (const std::size_t length : {std::size_t{0x10280}, std::size_t{0x4B50}}) {
    write_safetensors(file, weights_of(model), {{"note", ""}});
    const std::string plain = read_file(file, "test");
    std::size_t header = 0;
    std::memcpy(&header, plain.data(), sizeof header);
    write_safetensors(file, weights_of(model), {{"note", std::string(length - header, 'x')}});
    const std::string padded = read_file(file, "test");
    ASSERT_EQ(std::memcmp(padded.data(), &length, 2), 0) << length;
    EXPECT_EQ(message_of([&] { load_weights(fresh(2), file); }), "") << length;
  }
}

TEST_F(Weights, OfDataParallelNameTheRemedy) {
  const Model model = fresh(1);
  std::vector<TensorView> tensors = weights_of(model);
  for (TensorView& tensor : tensors) tensor.name = "module." + tensor.name;
  EXPECT_THAT(message_of([&] { load_weights(fresh(2), saved(std::move(tensors))); }),
              HasSubstr("model.module.state_dict()"));
}

TEST_F(Weights, AuxiliaryHeadsArePassedOver) {
  const Model model = fresh(1);
  std::vector<TensorView> tensors = weights_of(model);
  tensors.push_back(tensors.front());
  tensors.back().name = "AuxLogits.conv0.conv.weight";
  EXPECT_EQ(message_of([&] { load_weights(fresh(2), saved(std::move(tensors))); }), "");
}

TEST_F(Weights, OfDenseNetMayHaveThePublishedNames) {
  const Model from = make_model("densenet121", 10, 1), to = make_model("densenet121", 10, 2);
  std::vector<TensorView> tensors = weights_of(from);
  int renamed = 0;
  for (TensorView& tensor : tensors)
    for (const std::string part : {"norm1", "norm2", "conv1", "conv2"}) {
      const std::size_t at = tensor.name.find("." + part + ".");
      if (at == std::string::npos || tensor.name.find("denselayer") == std::string::npos) continue;
      tensor.name.insert(at + part.size(), ".");
      ++renamed;
    }
  ASSERT_EQ(renamed, 58 * (2 * 4 + 2));
  ASSERT_NE(differing(from, to).size(), 0u);
  load_weights(to, saved(std::move(tensors)));
  EXPECT_TRUE(differing(from, to).empty());
}

/// body, then "aux.body" and "aux.head" beside "head".
Model with_auxiliary_head(std::int64_t classes) {
  namespace nn = torch::nn;
  Model model{.name = "small", .sample_shape = {4}, .classes = classes};
  model.add("body", nn::Linear(4, 3)).add("aux.body", nn::Linear(3, 3));
  model.add("aux.head", nn::Linear(3, classes)).add("head", nn::Linear(3, classes), {"body"});
  model.auxiliary = {{"aux.head", 0.3}};
  return model;
}

TEST_F(Weights, OfAuxiliaryHeadsAreAllInTheFileOrNone) {
  const Model from = with_auxiliary_head(5);
  const Model whole = with_auxiliary_head(5), without = with_auxiliary_head(5);
  load_weights(whole, saved(weights_of(from)));
  EXPECT_TRUE(differing(from, whole).empty());
  std::vector<TensorView> tensors = weights_of(from);
  std::erase_if(tensors, [](const auto& tensor) { return tensor.name == "aux.head.bias"; });
  EXPECT_THAT(message_of([&] { load_weights(without, saved(tensors)); }),
              HasSubstr("lacks aux.head.bias"));
  std::erase_if(tensors, [](const auto& tensor) { return tensor.name.starts_with("aux."); });
  load_weights(without, saved(tensors));
  EXPECT_THAT(differing(from, without), ::testing::ElementsAre("aux.body.weight", "aux.body.bias",
                                                               "aux.head.weight", "aux.head.bias"));
}

TEST_F(Weights, AuxiliaryHeadsOfAnotherSizeAreHeads) {
  const Model from = with_auxiliary_head(5), to = with_auxiliary_head(6);
  const std::string file = saved(weights_of(from));
  EXPECT_THAT(message_of([&] { load_weights(to, file); }), HasSubstr("--new-head"));
  load_weights(to, file, Head::keep);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_TRUE(at::equal(named_parameters(to)[i].second, named_parameters(from)[i].second)) << i;
}

TEST_F(Weights, AreViewsUnderLibTorchsNames) {
  const Model model = fresh(1);
  const auto views = weights_of(model);
  const auto parameters = named_parameters(model);
  ASSERT_EQ(views.size(), parameters.size());
  EXPECT_EQ(views[0].name, "conv1.weight");
  EXPECT_EQ(views[0].shape, (std::vector<std::int64_t>{6, 1, 5, 5}));
  EXPECT_EQ(views[0].dtype, "F32");
  EXPECT_EQ(views[0].bytes, 6 * 25 * 4);
  EXPECT_EQ(views[0].data, parameters[0].second.data_ptr());
}

TEST_F(Weights, HeadOfAnotherSizeNamesTheOption) {
  const Model to = fresh(2, 7);
  const std::string file = saved(weights_of(fresh(1, 10)));
  EXPECT_THAT(message_of([&] { load_weights(to, file); }),
              AllOf(HasSubstr("[weights] " + file), HasSubstr("'fc3.weight' is 10 x 84"),
                    HasSubstr("the model's is 7 x 84"), HasSubstr("--new-head")));
  EXPECT_TRUE(differing(to, fresh(2, 7)).empty()) << "nothing was copied";
}

TEST_F(Weights, HeadCanBeKept) {
  const Model from = fresh(1, 10), to = fresh(2, 7), untouched = fresh(2, 7);
  load_weights(to, saved(weights_of(from)), Head::keep);
  const auto loaded = named_parameters(to);
  EXPECT_TRUE(at::equal(loaded[0].second, named_parameters(from)[0].second));
  EXPECT_TRUE(at::equal(loaded.back().second, named_parameters(untouched).back().second));
  EXPECT_EQ(differing(to, untouched).size(), loaded.size() - 2);
}

TEST_F(Weights, HeadIsTheLastLayerThatHasAny) {
  const auto build = [](std::int64_t classes) {
    Model model{.name = "small", .sample_shape = {4}, .classes = classes};
    model.add("body", torch::nn::Linear(4, 3)).add("head", torch::nn::Linear(3, classes));
    model.add("end", torch::nn::ReLU());
    return model;
  };
  const std::string file = saved(weights_of(build(5)));
  EXPECT_THAT(message_of([&] { load_weights(build(6), file); }), HasSubstr("--new-head"));
  EXPECT_EQ(message_of([&] { load_weights(build(6), file, Head::keep); }), "");
}

TEST_F(Weights, OfALayerThatIsNoHeadNameNoOption) {
  const Model from = fresh(1);
  auto views = weights_of(from);
  views[0].shape = {6, 1, 25};
  EXPECT_THAT(message_of([&] { load_weights(fresh(2), saved(views)); }),
              AllOf(HasSubstr("'conv1.weight' is 6 x 1 x 25"), HasSubstr("6 x 1 x 5 x 5"),
                    Not(HasSubstr("--new-head"))));
}

TEST_F(Weights, MissingAndUnexpectedTensorsAreNamed) {
  const Model from = fresh(1);
  auto views = weights_of(from);
  views[2].name = "conv2.kernel";
  EXPECT_THAT(message_of([&] { load_weights(fresh(2), saved(views)); }),
              AllOf(HasSubstr("lacks conv2.weight"), HasSubstr("has conv2.kernel")));
  EXPECT_THAT(message_of([&] { load_weights(make_model("mlp", 10), saved(weights_of(from))); }),
              AllOf(HasSubstr("has conv1.bias"), HasSubstr("1 more"), HasSubstr("another model")));
}

TEST_F(Weights, OfAnotherTypeAreRefused) {
  const Model from = fresh(1);
  auto views = weights_of(from);
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(views[0].bytes / 4));
  views[0].dtype = "I64";
  views[0].data = numbers.data();
  views[0].bytes *= 2;
  EXPECT_THAT(message_of([&] { load_weights(fresh(2), saved(views)); }),
              AllOf(HasSubstr("'conv1.weight' is I64"), HasSubstr("floating-point")));
}

TEST_F(Weights, OfNoFileAreRefused) {
  EXPECT_NE(message_of([&] { load_weights(fresh(1), folder_ / "missing.safetensors"); }), "");
  write_file(folder_ / "broken.safetensors", Bytes{1, 2, 3});
  EXPECT_THAT(message_of([&] { load_weights(fresh(1), folder_ / "broken.safetensors"); }),
              HasSubstr("broken.safetensors"));
}

}  // namespace
}  // namespace millrace
