#pragma once
// Functions that exporters spell out in small operators (attention, layer normalisation, GELU) and
// LSTMs, known by what they compute (docs/decisions/0028).

#include <onnx/onnx_pb.h>
#include <torch/nn/modules/container/any.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "millrace/errors.hpp"
#include "models/onnx/evaluation.hpp"
#include "models/onnx/regions.hpp"

namespace millrace::onnx_import {

/// A layer and the node that it is called by: as that calls its constant input `weight`, where that
/// is not below 0.
struct FunctionLayer {
  const onnx::NodeProto* node;
  int weight;
  torch::nn::AnyModule module;
};

/// Layers behind one another. The first reads `inputs`; three are queries, keys and values, which
/// it reads behind one another.
struct Function {
  std::vector<FunctionLayer> layers;
  std::vector<std::string> inputs;
};

/// Compares regions with layers on random inputs of several sizes; what equals one to round-off on
/// all of them is it. What it is made with outlives it.
class Recogniser {
 public:
  Recogniser(const OnnxFile& file, const Constants& constants, const Makers& makers,
             ExtentsOf extents)
      : file_(file), constants_(constants), makers_(makers), extents_(std::move(extents)) {}

  /// Throws ConfigError where LibTorch cannot make the layer.
  std::optional<Function> recognise(const Region& region);
  /// Why a region is none: what cannot be computed, dropout inside, a parameter of no effect yet.
  const std::optional<ConfigError>& obstacle() const { return obstacle_; }

 private:
  struct Trial;
  using Layers = std::vector<FunctionLayer>;

  std::optional<Trial> trial(const Region& region, double size);
  std::vector<Layers> candidates(const Region& region, Trial& trial) const;
  std::vector<Layers> recurrences(const Region& region, Trial& trial) const;
  std::vector<Layers> attentions(const Region& region, Trial& trial) const;
  std::vector<Layers> normalisations(const Region& region, Trial& trial) const;
  void require_all_is_told(const Function& function, const Region& region, Trial& trial) const;
  bool may_learn(const std::string& name, Trial& trial) const;
  static bool equals(Function& function, const Trial& trial);
  bool holds(Function& function, const Region& region, const Trial& first);

  const OnnxFile& file_;
  const Constants& constants_;
  const Makers& makers_;
  ExtentsOf extents_;
  std::optional<ConfigError> obstacle_;
};

}  // namespace millrace::onnx_import
