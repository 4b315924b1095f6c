#pragma once
// Layers of networks that read sequences, for Model::add.

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

namespace millrace {

/// Adds to each position what stands for its place: x [n, p, width] + weight [positions, width] of
/// its first p rows, as a learned position embedding does (torch::nn::Embedding's initial weights).
class PlaceEmbeddingImpl final : public torch::nn::Cloneable<PlaceEmbeddingImpl> {
 public:
  PlaceEmbeddingImpl(std::int64_t positions, std::int64_t width)
      : positions_(positions), width_(width) {
    reset();
  }
  void reset() override;
  void reset_parameters();
  torch::Tensor forward(const torch::Tensor& x);

  torch::Tensor weight;

 private:
  std::int64_t positions_, width_;
};
TORCH_MODULE(PlaceEmbedding);

/// What each position takes of itself and those before it (Vaswani et al. 2017), in `heads` heads:
/// [n, positions, 3 width] of queries, keys and values behind one another -> [n, positions, width],
/// head h the softmax over the keys of Q_h K_h^T / sqrt(width / heads), times V_h. No parameters:
/// the linear layers before and behind it are layers of their own.
class CausalAttentionImpl final : public torch::nn::Cloneable<CausalAttentionImpl> {
 public:
  /// heads >= 1, and width must be a multiple of it. Throws ConfigError (tag "model").
  explicit CausalAttentionImpl(std::int64_t heads);
  void reset() override {}
  torch::Tensor forward(const torch::Tensor& queries_keys_values);

  std::int64_t heads() const { return heads_; }

 private:
  std::int64_t heads_;
};
TORCH_MODULE(CausalAttention);

/// One LSTM layer (Hochreiter and Schmidhuber 1997) with torch::nn::LSTM's parameters:
/// [n, positions, in] -> [n, positions, out], the output after each position, from states of 0.
class SequenceLSTMImpl final : public torch::nn::LSTMImpl {
 public:
  SequenceLSTMImpl(std::int64_t in, std::int64_t out)
      : LSTMImpl(torch::nn::LSTMOptions(in, out).batch_first(true)) {}
  torch::Tensor forward(const torch::Tensor& inputs);
  std::shared_ptr<torch::nn::Module> clone(
      const c10::optional<torch::Device>& device = c10::nullopt) const override;
};
TORCH_MODULE(SequenceLSTM);

}  // namespace millrace
