#pragma once
// What a layer's neighbours mean to it: which do the work of a relu beside them, so that the data
// passes by once less, and which gradients are mostly 0.

#include <string>
#include <vector>

namespace millrace {

struct LayerFacts;

/// Of one layer.
struct Fusion {
  /// Does the forward pass of the relu behind it; batch normalisation the backward pass, too.
  bool relu_behind = false;
  bool relu6_behind = false;  ///< that relu is a ReLU6
  /// Does the backward pass of the relu before it; max pooling does the forward pass, too.
  bool relu_before = false;
  bool forward_done = false;   ///< a relu or ReLU6: a neighbour does its forward pass
  bool backward_done = false;  ///< a relu: a neighbour does its backward pass
  /// A convolution whose output goes to max pooling, by a relu or not: most of its gradient is 0.
  bool pooled_behind = false;
  bool operator==(const Fusion&) const = default;
};

/// By layer. Follows from the network and the implementations alone, so it is the same wherever a
/// plan cuts. Ours take part: batch normalisation for the relu behind it, max pooling for the one
/// before it, convolutions for both, fully connected layers for the one behind; where nobody else
/// reads what lies between. `implementations`: by layer, "" for LibTorch's.
std::vector<Fusion> fusions(const std::vector<LayerFacts>& layers,
                            const std::vector<std::string>& implementations);

}  // namespace millrace
