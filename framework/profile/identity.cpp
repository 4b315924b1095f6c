#include "framework/profile/identity.hpp"

#include <ATen/Version.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <sstream>

namespace millrace {
namespace {

std::string text_of_symbol(const char* name) {
  const auto function = reinterpret_cast<const char* (*)()>(::dlsym(RTLD_DEFAULT, name));
  return function == nullptr ? "none" : function();
}

/// OpenBLAS picks its kernels when it is loaded, by the core or by OPENBLAS_CORETYPE.
std::string blas_identity() {
  return text_of_symbol("openblas_get_config") + " " + text_of_symbol("openblas_get_corename");
}

std::string machine_identity(const Topology& topology) {
  std::string text = topology.machine;
  for (const CoreKind& kind : topology.kinds) {
    text += fmt::format("; {} {} on CPUs {}", kind.name, kind.model, format_cpu_list(kind.cpus));
  }
  return text;
}

/// What the libraries read when they are loaded.
std::string settings_identity() {
  std::string text;
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "OMP_THREAD_LIMIT"}) {
    const char* const value = std::getenv(name);
    text += fmt::format(" {}={}", name, value == nullptr ? "" : value);
  }
  return text;
}

/// Strides, dilations, windows: what shapes do not tell.
std::string module_identity(const torch::nn::Module& module) {
  std::ostringstream text;
  module.pretty_print(text);
  return text.str();
}

std::string layer_identity(const LayerFacts& layer) {
  return fmt::format("{} {} reads {}: [{}] -> [{}], {} bytes of weights, {} flop{}", layer.name,
                     layer.type, fmt::join(layer.producers, " "), fmt::join(layer.input_shape, " "),
                     fmt::join(layer.output_shape, " "), layer.weights_bytes, layer.forward_flops,
                     layer.auxiliary_weight > 0 ? ", auxiliary" : "");
}

}  // namespace

std::string profile_identity(const Model& model, const std::vector<LayerFacts>& facts,
                             const Topology& topology, const ProfileRequest& request) {
  std::string text = fmt::format(
      "machine: {}\nbatch: {}\nalgorithms: {}\nprecision: {}\nbuild: {}\nBLAS: {}\nLibTorch: {}\n"
      "settings:{}\nmodel: {}\n",
      machine_identity(topology), request.batch,
      request.algorithms == Algorithms::direct ? "direct" : "all",
      request.precision == Precision::bf16 ? "bf16" : "fp32", build_identity(), blas_identity(),
      at::show_config(), settings_identity(), model.name);
  for (std::size_t i = 0; i < facts.size(); ++i)
    text += fmt::format("{} {}\n", layer_identity(facts[i]),
                        module_identity(*model.layers[i].module.ptr()));
  return text;
}

}  // namespace millrace
