#pragma once
// The order of work where a lane may have several stages.

#include <vector>

#include "millrace/schedule.hpp"

namespace millrace {

/// By list scheduling on lanes that work equally much in all: the lane that can begin something
/// soonest does, a backward after a forward and a forward after a backward where it has the choice.
/// On each lane forwards come in lots of as many micro-batches as there are lanes, stage after
/// stage, and backwards in the same lots from the last stage to the first; so many forwards may be
/// ahead as pass by until the lane's first backward can be there. After Narayanan et al.,
/// "Efficient large-scale language model training on GPU clusters using Megatron-LM": a step takes
/// as long as theirs where the lanes take turns and divide M, and is 1F1B where each has one stage;
/// any lanes and M have an order.
///
///   lanes {0, 1, 0, 1}, M = 2, F = B = 1, no links (stage and micro-batch):
///     lane 0  F00 F01 F20 F21 .   B20 .   B21 B00 B01
///     lane 1  .   F10 F11 F30 B30 F31 B31 B10 B11
///
/// `backward` false: forwards alone. Without reductions and updates.
/// REQUIRES: lanes numbered from 0 in the order of their first stage.
std::vector<std::vector<Action>> interleaved(const std::vector<int>& lanes, int micro_batches,
                                             bool backward);

}  // namespace millrace
