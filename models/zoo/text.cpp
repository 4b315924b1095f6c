// Networks that say which character follows each of a text's.

#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include "millrace/sequence.hpp"
#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

constexpr double kDropped = 0.1;

nn::LayerNorm layer_norm(std::int64_t width) {
  return nn::LayerNorm(nn::LayerNormOptions({width}));
}

/// A block of GPT-2 (Radford et al. 2019) under nanoGPT's names: what `from` made, plus attention,
/// plus two linear layers. Returns the name of what it makes.
std::string add_block(Model& model, const std::string& name, const std::string& from,
                      std::int64_t width, std::int64_t heads) {
  const std::string attended = name + ".attn.sum", fed = name + ".mlp.sum";
  model.add(name + ".ln_1", layer_norm(width), {from})
      .add(name + ".attn.c_attn", nn::Linear(width, 3 * width))
      .add(name + ".attn", CausalAttention(heads))
      .add(name + ".attn.c_proj", nn::Linear(width, width))
      .add(name + ".attn.resid_dropout", nn::Dropout(kDropped))
      .add(attended, Add(), {from, name + ".attn.resid_dropout"})
      .add(name + ".ln_2", layer_norm(width))
      .add(name + ".mlp.c_fc", nn::Linear(width, 4 * width))
      .add(name + ".mlp.gelu", nn::GELU())
      .add(name + ".mlp.c_proj", nn::Linear(4 * width, width))
      .add(name + ".mlp.dropout", nn::Dropout(kDropped))
      .add(fed, Add(), {attended, name + ".mlp.dropout"});
  return fed;
}

}  // namespace

/// GPT-2 of 6 blocks, 6 heads and 192 numbers a position, its head's weights its own.
void add_char_gpt(Model& model) {
  constexpr std::int64_t kWidth = 192, kHeads = 6;
  constexpr int kBlocks = 6;
  model.add("transformer.wte", nn::Embedding(model.vocabulary, kWidth))
      .add("transformer.wpe", PlaceEmbedding(model.sample_shape.front(), kWidth))
      .add("transformer.drop", nn::Dropout(kDropped));
  std::string from = "transformer.drop";
  for (int b = 0; b < kBlocks; ++b)
    from = add_block(model, "transformer.h." + std::to_string(b), from, kWidth, kHeads);
  model.add("transformer.ln_f", layer_norm(kWidth))
      .add("lm_head", nn::Linear(nn::LinearOptions(kWidth, model.classes).bias(false)));
}

/// Two LSTM layers of 256 numbers.
void add_char_lstm(Model& model) {
  constexpr std::int64_t kEmbedded = 128, kWidth = 256;
  model.add("embedding", nn::Embedding(model.vocabulary, kEmbedded))
      .add("lstm.0", SequenceLSTM(kEmbedded, kWidth))
      .add("dropout.0", nn::Dropout(kDropped))
      .add("lstm.1", SequenceLSTM(kWidth, kWidth))
      .add("dropout.1", nn::Dropout(kDropped))
      .add("head", nn::Linear(kWidth, model.classes));
}

}  // namespace millrace::zoo_parts
