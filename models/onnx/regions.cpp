#include "models/onnx/regions.hpp"

#include <algorithm>

#include "models/onnx/operations.hpp"

namespace millrace::onnx_import {
namespace {

using Nodes = std::vector<const onnx::NodeProto*>;

constexpr std::size_t kMostNodes = 64;

class Finder {
 public:
  explicit Finder(const RegionFacts& facts) : facts_(facts) {
    for (const auto* node : facts.unread)
      for (const std::string& output : node->output())
        if (!output.empty()) makers_.try_emplace(output, node);
  }

  /// Nodes that depend on `first`, itself too.
  Nodes behind(const onnx::NodeProto& first) const {
    std::set<std::string> reached;
    Nodes found;
    for (const auto* node : facts_.unread) {
      const auto values = values_of(*node);
      const bool depends = std::any_of(values.begin(), values.end(),
                                       [&](const auto& one) { return reached.contains(one); });
      if ((node != &first && !depends) || !is_inner(*node)) continue;
      reached.insert(node->output().begin(), node->output().end());
      found.push_back(node);
      if (found.size() == kMostNodes) break;
    }
    return found;
  }

  /// All that `end` needs; absent where that is no region.
  std::optional<Region> region_to(const onnx::NodeProto& end) const {
    Region region;
    std::set<const onnx::NodeProto*> nodes;
    if (!collect(end, nodes, region.inputs)) return std::nullopt;
    for (const auto* node : facts_.unread)
      if (nodes.contains(node)) region.nodes.push_back(node);
    return is_closed(region) ? std::optional(region) : std::nullopt;
  }

 private:
  std::vector<std::string> values_of(const onnx::NodeProto& node) const {
    return NodeReader(node, facts_.constants, facts_.file).values();
  }

  bool is_inner(const onnx::NodeProto& node) const {
    if (!operations().contains(node.op_type()) || !is_onnx(node)) return false;
    const bool is_layer = node.op_type() == "MatMul" && values_of(node).size() < 2;
    return !is_layer;
  }

  /// `node` and what it needs, up to the values of layers. False where that is no function's.
  bool collect(const onnx::NodeProto& node, std::set<const onnx::NodeProto*>& nodes,
               std::set<std::string>& inputs) const {
    if (nodes.contains(&node)) return true;
    if (!is_inner(node) || nodes.size() == kMostNodes) return false;
    nodes.insert(&node);
    for (const std::string& value : values_of(node)) {
      if (facts_.is_made(value)) {
        inputs.insert(value);
        continue;
      }
      const auto maker = makers_.find(value);
      if (maker == makers_.end() || !collect(*maker->second, nodes, inputs)) return false;
    }
    return true;
  }

  /// A graph's constants may depend on shapes alone, so readers count values.
  bool is_closed(const Region& region) const {
    std::map<std::string, int> reads;
    for (const auto* node : region.nodes)
      for (const std::string& value : node->input()) ++reads[value];
    for (const auto* node : region.nodes) {
      for (const std::string& value : node->output()) {
        if (value.empty() || value == region.output()) continue;  // "": an output left out
        const auto readers = facts_.readers.find(value);
        const int count = readers == facts_.readers.end() ? 0 : readers->second;
        if (value == facts_.output || count != reads[value]) return false;
      }
    }
    return true;
  }

  const RegionFacts& facts_;
  std::map<std::string, const onnx::NodeProto*> makers_;
};

/// A dropout at the end is a layer of its own.
bool may_end(const onnx::NodeProto& node) { return node.op_type() != "Dropout"; }

}  // namespace

std::vector<Region> regions_from(const onnx::NodeProto& first, const RegionFacts& facts) {
  const Finder finder(facts);
  std::vector<Region> regions;
  for (const auto* end : finder.behind(first)) {
    if (!may_end(*end)) continue;
    auto region = finder.region_to(*end);
    const bool begins = region && std::count(region->nodes.begin(), region->nodes.end(), &first);
    if (begins && !region->inputs.empty()) regions.push_back(std::move(*region));
  }
  std::reverse(regions.begin(), regions.end());
  return regions;
}

}  // namespace millrace::onnx_import
