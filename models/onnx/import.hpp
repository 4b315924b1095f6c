#pragma once
// A network from an ONNX file, to be trained.

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/model.hpp"

namespace millrace {

/// Reads network and weights, of external data those that are needed: opsets 11 to 25, float32, one
/// input [N, sample shape] and one output, the operators of the zoo (Conv, Gemm, MatMul,
/// BatchNormalization, pooling, Relu, Clip to 0..6, Add, Sum, Concat, Flatten and Reshape to rows,
/// ReduceMean over pixels, Dropout, Identity). Layers are called as the file calls their weights,
/// else as their node. Batch normalisation and dropout train as layers do; a softmax at the end is
/// left to the loss; metadata is passed over. Warns of a file that was exported for inference or
/// has batch normalisation folded away. Throws ConfigError (tag "onnx") naming the file, the node
/// and the remedy.
Model import_onnx(const std::string& file);

/// Extents of a sample that the file's input says. Throws as import_onnx.
std::vector<std::int64_t> onnx_sample_shape(const std::string& file);

}  // namespace millrace
