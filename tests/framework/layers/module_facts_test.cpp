#include "framework/layers/module_facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/functional/instancenorm.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>

#include "millrace/sequence.hpp"

namespace millrace {
namespace {

namespace nn = torch::nn;
using ::testing::HasSubstr;

TEST(ModuleType, OfWhatIsNotListedIsModule) {
  EXPECT_EQ(module_type(*nn::Conv1d(1, 1, 1)), "module");
  EXPECT_EQ(module_type(*nn::ConvTranspose2d(1, 1, 1)), "module");
  EXPECT_EQ(module_type(*nn::Dropout2d()), "module");
  EXPECT_EQ(module_type(*nn::Tanh()), "module");
}

TEST(ModuleType, TellsTheLayersOfSequences) {
  EXPECT_EQ(module_type(*nn::Embedding(3, 2)), "embedding");
  EXPECT_EQ(module_type(*PlaceEmbedding(3, 2)), "place_embedding");
  EXPECT_EQ(module_type(*nn::LayerNorm(nn::LayerNormOptions({3}))), "layer_norm");
  EXPECT_EQ(module_type(*nn::GELU()), "gelu");
  EXPECT_EQ(module_type(*CausalAttention(2)), "attention");
  EXPECT_EQ(module_type(*SequenceLSTM(3, 2)), "lstm");
}

TEST(ForwardFlops, OfSequences) {
  EXPECT_EQ(forward_flops(*nn::Linear(3, 2), {5, 2}), 2 * 3 * 5 * 2);
  EXPECT_EQ(forward_flops(*CausalAttention(2), {5, 8}), 2 * 2 * 5 * 5 * 8);
  EXPECT_EQ(forward_flops(*SequenceLSTM(3, 2), {5, 2}), 2 * 5 * 4 * 2 * (3 + 2));
}

TEST(ReasonToRefuse, IsEmptyForWhatPlansKeepExact) {
  EXPECT_EQ(reason_to_refuse(*nn::Linear(1, 1)), "");
  EXPECT_EQ(reason_to_refuse(*nn::Dropout(0.1)), "");
  EXPECT_EQ(reason_to_refuse(*nn::GroupNorm(1, 2)), "");
  EXPECT_EQ(reason_to_refuse(*nn::LayerNorm(nn::LayerNormOptions({3}))), "");
  EXPECT_EQ(reason_to_refuse(*nn::InstanceNorm1d(3)), "");
}

TEST(ReasonToRefuse, IsDropoutBetweenRecurrentLayers) {
  const auto lstm = [](std::int64_t layers, double p) {
    return reason_to_refuse(*nn::LSTM(nn::LSTMOptions(3, 2).num_layers(layers).dropout(p)));
  };
  EXPECT_EQ(lstm(2, 0), "");
  EXPECT_EQ(lstm(1, 0.5), "") << "there is nothing between";
  EXPECT_THAT(lstm(2, 0.5), HasSubstr("dropout between its recurrent layers"));
  EXPECT_THAT(reason_to_refuse(*nn::GRU(nn::GRUOptions(3, 2).num_layers(2).dropout(0.5))),
              HasSubstr("recurrent"));
  EXPECT_THAT(reason_to_refuse(*nn::RNN(nn::RNNOptions(3, 2).num_layers(2).dropout(0.5))),
              HasSubstr("recurrent"));
}

TEST(ReasonToRefuse, IsDropoutOfAttentionWeights) {
  EXPECT_EQ(reason_to_refuse(*nn::MultiheadAttention(4, 2)), "");
  EXPECT_THAT(
      reason_to_refuse(*nn::MultiheadAttention(nn::MultiheadAttentionOptions(4, 2).dropout(0.1))),
      HasSubstr("dropout(0)"));
}

template <typename Embedding, typename Options>
void expect_plain_embeddings_alone() {
  const auto reason = [](const Options& options) { return reason_to_refuse(*Embedding(options)); };
  EXPECT_EQ(reason(Options(3, 2)), "");
  EXPECT_THAT(reason(Options(3, 2).max_norm(1.0)), HasSubstr("max_norm writes to the weights"));
  EXPECT_THAT(reason(Options(3, 2).scale_grad_by_freq(true)), HasSubstr("micro-batch"));
  EXPECT_THAT(reason(Options(3, 2).sparse(true)), HasSubstr("sparse(false)"));
}

TEST(ReasonToRefuse, IsWhatEmbeddingsDoToAllTheirWeights) {
  expect_plain_embeddings_alone<nn::Embedding, nn::EmbeddingOptions>();
  expect_plain_embeddings_alone<nn::EmbeddingBag, nn::EmbeddingBagOptions>();
}

TEST(UnmetInput, OfConvolutions) {
  const nn::Conv2d conv(3, 8, 5);
  EXPECT_EQ(unmet_input(*conv, {3, 9, 9}), "");
  EXPECT_EQ(unmet_input(*conv, {4, 9, 9}), "3 channels (C x H x W)");
  EXPECT_EQ(unmet_input(*conv, {3, 9}), "3 channels (C x H x W)");
  EXPECT_EQ(unmet_input(*conv, {}), "3 channels (C x H x W)");
}

TEST(UnmetInput, OfLinearLayersIsTheLastDimension) {
  const nn::Linear linear(6, 2);
  EXPECT_EQ(unmet_input(*linear, {6}), "");
  EXPECT_EQ(unmet_input(*linear, {10, 6}), "");
  EXPECT_EQ(unmet_input(*linear, {6, 10}), "6 features");
  EXPECT_EQ(unmet_input(*linear, {}), "6 features");
}

TEST(UnmetInput, IsUnknownForOtherTypes) { EXPECT_EQ(unmet_input(*nn::ReLU(), {}), ""); }

TEST(ForwardFlops, FollowTheFormulas) {
  const nn::Conv2d conv(nn::Conv2dOptions(8, 12, {3, 5}).groups(4));
  EXPECT_EQ(forward_flops(*conv, {12, 7, 9}), 2.0 * (8 / 4 * 3 * 5) * (12 * 7 * 9));
  EXPECT_EQ(forward_flops(*nn::Linear(30, 20), {20}), 2.0 * 30 * 20);
  EXPECT_EQ(forward_flops(*nn::Linear(30, 20), {5, 20}), 5 * 2.0 * 30 * 20);
  EXPECT_EQ(forward_flops(*nn::ReLU(), {100}), 0);
}

}  // namespace
}  // namespace millrace
