#pragma once
// Work shared by an OpenMP team. Internal to the folder.

#include <algorithm>
#include <cstdint>

namespace millrace::kernels {

/// body(begin, end) for chunks of [0, count), on the team that runs this; all wait at the end.
/// Whoever is free takes the next chunk: cores of a team may be unequal.
template <typename Body>
void share(std::int64_t count, std::int64_t chunk, const Body& body) {
#pragma omp for schedule(dynamic, 1)
  for (std::int64_t begin = 0; begin < count; begin += chunk)
    body(begin, std::min(begin + chunk, count));
}

}  // namespace millrace::kernels
