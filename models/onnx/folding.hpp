#pragma once
// What is computed of constants and of shapes alone, as exporters write `x.view(x.size(0), -1)` or
// a bias of zeros. Errors as graph_reader.hpp's.

#include <torch/types.h>

#include <string>

#include "models/onnx/graph_reader.hpp"

namespace millrace::onnx_import {

/// Whether the node makes a constant of such inputs: Shape of anything, and other operators that
/// are computed (operations.hpp) of constants.
bool is_folded(const onnx::NodeProto& node, const Constants& constants);

/// What it makes, at most 2^20 numbers, of Shape, Squeeze, Unsqueeze, Gather, Concat, Reshape,
/// Expand and CastLike; other nodes are refused here. The shape of a value that is no constant is
/// {kBatchExtent, kOpenExtent, kOpenExtent, kOpenExtent}: where it has fewer dimensions, what an
/// index from the end takes is kOpenExtent still.
torch::Tensor fold(const NodeReader& node);

}  // namespace millrace::onnx_import
