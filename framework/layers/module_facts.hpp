#pragma once
// What a module's type tells: its name in plans, whether a plan can keep it exact, its arithmetic.

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// "conv2d", "linear", "relu", "relu6", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
/// "dropout", "flatten", "identity", "batch_norm", "add", "concat", "embedding", "layer_norm",
/// "gelu", "place_embedding", "attention", "lstm"; "module" for every other one.
std::string module_type(const torch::nn::Module& module);

/// Writes its output over its input.
bool works_in_place(const torch::nn::Module& module);

/// Takes a vector of inputs, however many there are.
bool is_join(const torch::nn::Module& module);

/// Why no plan can repeat what plain training does with this module, and the remedy; "" where it
/// can. Looks into submodules.
///
/// What no type tells is the user's to keep: a module of their own draws nothing at random and
/// treats each sample alone, and its forward pass writes neither to parameters nor to buffers. Each
/// worker runs a copy of it over the model's own parameters and buffers, so such a write would meet
/// the other workers'.
std::string reason_to_refuse(const torch::nn::Module& module);

/// What the module's input must be ("256 channels", "9216 features"); "" where its type does not
/// tell, or where `input` (one sample, no batch dimension) fits.
std::string unmet_input(const torch::nn::Module& module, const std::vector<std::int64_t>& input);

/// Floating-point operations of one sample's forward pass, multiply and add counted apart, bias and
/// elementwise work left out:
///   conv2d: 2 * (Cin / groups) * Kh * Kw per output element;  linear: 2 * in per output element
///   attention: 4 * positions, lstm (one layer): 8 * (in + out) per output element
/// and 0 for every other type. `output` is one sample's shape.
double forward_flops(const torch::nn::Module& module, const std::vector<std::int64_t>& output);

/// LayerFacts::inner_elements.
double inner_elements(const torch::nn::Module& module, const std::vector<std::int64_t>& output);

}  // namespace millrace
