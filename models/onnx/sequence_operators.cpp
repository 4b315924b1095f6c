// Operators of networks that read sequences: [N, positions, features].

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include <set>

#include "millrace/log.hpp"
#include "millrace/sequence.hpp"
#include "models/onnx/importer.hpp"

namespace millrace::onnx_import {
namespace {

namespace nn = torch::nn;

/// Rows for token ids.
void read_gather(Importer& to, const NodeReader& node) {
  const torch::Tensor weight = node.weight(0, "weight");
  if (!to.reads_ids() || !to.is_sample(node.value()))
    node.refuse("takes rows by something else than the token ids of a sample");
  if (weight.dim() != 2 || node.integer("axis", 0) != 0)
    node.refuse(fmt::format("takes from [{}] along axis {}, rows of a matrix are trained",
                            fmt::join(weight.sizes(), ", "), node.integer("axis", 0)));
  nn::Embedding embedding(weight.size(0), weight.size(1));
  set_parameter(node, embedding->weight, weight);
  to.add(node, to.name_of(node, 0), embedding);
  to.set_vocabulary(weight.size(0));
}

void read_layer_norm(Importer& to, const NodeReader& node) {
  const torch::Tensor weight = node.weight(1, "scale");
  const auto extents = to.extents(node.value());
  const std::int64_t axis = node.integer("axis", -1);
  const bool last = extents && (axis == -1 || axis == std::ssize(*extents) - 1);
  if (!last || weight.dim() != 1)
    node.refuse(
        fmt::format("normalises from axis {} on with a scale of [{}], the last extent "
                    "alone is trained",
                    axis, fmt::join(weight.sizes(), ", ")));
  nn::LayerNorm norm(nn::LayerNormOptions({weight.size(0)}).eps(node.number("epsilon", 1e-5)));
  set_parameter(node, norm->weight, weight);
  if (!node.weight_name(2).empty())
    set_parameter(node, norm->bias, to.computed(node.proto().input(2)));
  to.add(node, to.name_of(node, 1), norm);
}

void read_gelu(Importer& to, const NodeReader& node) {
  const std::string approximation = node.text("approximate");
  to.add(node,
         nn::GELU(nn::GELUOptions().approximate(approximation.empty() ? "none" : approximation)));
}

int constant_input(const NodeReader& node) { return node.weight_name(0).empty() ? 1 : 0; }

torch::Tensor constant_of(Importer& to, const NodeReader& node) {
  return to.computed(node.proto().input(constant_input(node)));
}

/// What is added to each position, [positions, width] behind extents of 1; undefined where it is
/// something else.
torch::Tensor places_of(Importer& to, const NodeReader& node) {
  const auto extents = to.extents(node.value());
  torch::Tensor places = constant_of(to, node);
  if (!extents || extents->size() != 3 || places.scalar_type() != torch::kFloat) return {};
  while (places.dim() > 2 && places.size(0) == 1) places = places.squeeze(0);
  const bool fits =
      places.dim() == 2 && places.size(0) == extents->at(1) && places.size(1) == extents->at(2);
  return fits ? places : torch::Tensor();
}

}  // namespace

bool read_places(Importer& to, const NodeReader& node) {
  if (!to.reads_ids() || node.values().size() != 1) return false;
  if (node.proto().input_size() != 2) return false;
  const torch::Tensor places = places_of(to, node);
  if (!places.defined()) return false;
  log_info("onnx", fmt::format("what '{}' adds to each of {} positions is trained",
                               node.proto().name(), places.size(0)));
  PlaceEmbedding embedding(places.size(0), places.size(1));
  set_parameter(node, embedding->weight, places);
  to.add(node, to.name_of(node, constant_input(node)), embedding);
  return true;
}

std::map<std::string, Operator> sequence_operators() {
  return {{"Gather", read_gather}, {"LayerNormalization", read_layer_norm}, {"Gelu", read_gelu}};
}

bool begins_function(Importer& importer, const NodeReader& node) {
  static const std::set<std::string> kParts = {"Reshape", "ReduceMean"};
  const std::string type = node.type();
  if (type == "MatMul") return node.weight_name(1).empty();
  if (type == "Softmax") return !importer.is_output(node);
  if (type == "Gather") return !importer.is_sample(node.value());
  if (type == "Add" && (node.proto().input_size() != 2 || node.values().size() != 1)) return false;
  if (type == "Add") return constant_of(importer, node).numel() == 1;
  return kParts.contains(type);
}

}  // namespace millrace::onnx_import
