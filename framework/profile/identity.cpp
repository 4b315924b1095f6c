#include "framework/profile/identity.hpp"

#include <ATen/Version.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

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
      "model: {}\n",
      machine_identity(topology), request.batch,
      request.algorithms == Algorithms::direct ? "direct" : "all",
      request.precision == Precision::bf16 ? "bf16" : "fp32", build_identity(), blas_identity(),
      at::show_config(), model.name);
  for (const LayerFacts& layer : facts) text += layer_identity(layer) + "\n";
  return text;
}

}  // namespace millrace
