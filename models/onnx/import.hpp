#pragma once
// A network from an ONNX file, to be trained.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "millrace/model.hpp"

namespace millrace {

/// Reads network and weights, of external data those that are needed: opsets 11 to 25, float32, one
/// input [N, sample shape] and one output, the operators of the zoo (Conv, Gemm, MatMul,
/// BatchNormalization, pooling, Relu, Clip to 0..6, Add, Sum, Concat, Flatten and Reshape to rows,
/// ReduceMean over pixels, Dropout, Identity). Of token ids, int64 [N, positions], it makes [N,
/// positions, vocabulary]: Gather from an embedding, sums with what stands for places,
/// LayerNormalization, Gelu. Causal attention, layer normalisation, GELU in smaller operators, and
/// LSTMs, are known by what they compute (docs/decisions/0028); layer normalisation and LSTMs
/// without biases get some of zeros.
/// Layers are called as the file calls their weights, else as their node. Batch normalisation and
/// dropout train as layers do; a softmax at the end is left to the loss; metadata is passed over.
/// Warns of a file that was exported for inference or has batch normalisation folded away. Throws
/// ConfigError (tag "onnx") naming the file, the node and the remedy.
Model import_onnx(const std::string& file);

/// Whether the file's input is of token ids. Throws as import_onnx.
bool onnx_reads_ids(const std::string& file);

/// What the file tells of itself, by key. Throws as import_onnx.
std::map<std::string, std::string> onnx_metadata(const std::string& file);

/// Extents of a sample that the file's input says. Throws as import_onnx.
std::vector<std::int64_t> onnx_sample_shape(const std::string& file);

}  // namespace millrace
