// What NaiveCosts says of a stage that computes some of its layers again.

#include <algorithm>
#include <string>
#include <vector>

#include "tests/framework/plan/naive_costs.hpp"

namespace millrace::oracle {

/// Backwards, run after run: what is kept before it, what it reads and what it saves.
void NaiveCosts::recompute_some(const Shape& shape, const Cut& cut, Stage& stage) const {
  const std::vector<int> layers = members(shape);
  std::vector<Set> runs;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!in(shape.again, layers[i])) continue;
    if (i == 0 || !in(shape.again, layers[i - 1])) runs.push_back(0);
    runs.back() |= Set{1} << layers[i];
  }
  const auto reads = [&](Set run) {
    double bytes = 0;
    for (const auto& tensor : profile_.tensors)
      if (!tensor.backward && !in(run, number_of(tensor.from)) && any_in(tensor.to, run))
        bytes += tensor.bytes;
    return bytes;
  };
  const auto reads_sample = [&](int p) {
    return std::none_of(profile_.tensors.begin(), profile_.tensors.end(), [&](const auto& tensor) {
      return !tensor.backward && any_in(tensor.to, Set{1} << p);
    });
  };
  Set freed = 0;  // by being recomputed
  for (const int p : layers)
    if (in(shape.again, p) && !reads_sample(p)) freed |= Set{1} << p;
  const auto saved = [&](Set set) {
    double bytes = 0;
    for (const int p : layers) bytes += in(set, p) ? layers_[p].saved_bytes : 0;
    return bytes;
  };
  const auto at_end = [&](Set run) {
    double bytes = 0;
    int last = 0;
    for (const int p : layers) last = in(run, p) ? p : last;
    for (const auto& tensor : profile_.tensors)
      bytes += !tensor.backward && number_of(tensor.from) == last ? 3 * tensor.bytes : 0;
    return bytes;
  };
  const auto place = [&](Set run) {
    return std::find_if(layers.begin(), layers.end(), [&](int p) { return in(run, p); });
  };
  double kept = saved(~freed);
  for (const Set run : runs) kept += reads(run);
  double most = kept;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Set before = 0;
    for (auto p = layers.begin(); p != place(runs[r]); ++p) before |= Set{1} << *p;
    double now = saved((before | runs[r]) & ~freed) + saved(runs[r] & freed) + at_end(runs[r]);
    for (std::size_t earlier = 0; earlier <= r; ++earlier) now += reads(runs[earlier]);
    most = std::max(most, now);
  }
  stage.flight = kept;
  stage.fixed += (most - kept) * double(cut.b);
}

}  // namespace millrace::oracle
