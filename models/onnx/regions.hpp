#pragma once
// Parts of a graph that compute one value of others, as exporters spell out a function.

#include <onnx/onnx_pb.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "models/onnx/graph_reader.hpp"

namespace millrace::onnx_import {

/// Nodes in the graph's order, the last of which makes the value. Nobody else reads what the others
/// make.
struct Region {
  std::vector<const onnx::NodeProto*> nodes;
  std::set<std::string> inputs;  ///< made by layers

  const onnx::NodeProto& end() const { return *nodes.back(); }
  const std::string& output() const { return end().output(0); }
};

/// What is known of the graph while regions are looked for.
struct RegionFacts {
  const std::vector<const onnx::NodeProto*>& unread;  ///< in the graph's order
  const Constants& constants;
  const std::map<std::string, int>& readers;        ///< of a value
  std::function<bool(const std::string&)> is_made;  ///< by a layer
  const std::string& output;                        ///< of the graph
  const std::string& file;
};

/// Every region that `first` belongs to and that ends at most 64 nodes behind it, the last
/// first. Layers end it: products with constant weights, and what is not computed (operations.hpp).
std::vector<Region> regions_from(const onnx::NodeProto& first, const RegionFacts& facts);

}  // namespace millrace::onnx_import
