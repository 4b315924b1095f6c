#pragma once
// Which implementation each layer of a chain gets. Pure decisions over passes, tested on fakes.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "framework/profile/measuring.hpp"

namespace millrace {

/// One way to compute the chain: an implementation per layer.
using ChainChoice = std::vector<std::string>;
/// One pass; warming up after a change of the choice is the runner's business.
using RunChain = std::function<PassTimes(const ChainChoice&, std::int64_t samples)>;

/// `names[l]` are the implementations of layer l, the first being the default. Chains that use one
/// name wherever it exists are measured as a whole, so that conversions between the layouts of
/// neighbours count; then the mixture of each layer's fastest. They are measured in turn; one that
/// is clearly slower after its first pass gets no second. The default stays where nothing is faster
/// by more than a percent. `shared[l]`: a neighbour's implementation may do the layer's work (a
/// relu's), so layers beside it are compared together with it. Compared at the largest of `counts`
/// (ascending), at most rules.most_samples, that fits into rules.budget_ns; nothing is measured
/// where there is no choice.
ChainChoice choose_implementations(const std::vector<std::vector<std::string>>& names,
                                   const std::vector<bool>& shared, const RunChain& run,
                                   const std::vector<std::int64_t>& counts,
                                   const MeasuringRules& rules, const NowNs& now);

}  // namespace millrace
