#pragma once
// What a kept profile was measured on, as text: two runs with equal text may share one.

#include <string>
#include <vector>

#include "millrace/model.hpp"
#include "millrace/profiler.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// Machine and its kinds of cores, the model's layers (types and shapes, not weights), batch,
/// algorithms, precision, the build of what is measured, and the libraries that compute: LibTorch,
/// oneDNN, BLAS.
std::string profile_identity(const Model& model, const std::vector<LayerFacts>& facts,
                             const Topology& topology, const ProfileRequest& request);

/// A hash of the sources of kernels, layers and profiler, the compiler and its flags; made by the
/// build.
const char* build_identity();

}  // namespace millrace
