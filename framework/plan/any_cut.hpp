#pragma once
// Plans whose sets of devices have several stages each, by local search.

#include "framework/plan/search.hpp"

namespace millrace {

/// Adds to what the contiguous search found the best that is found from its pipelines: as they are
/// and with their sets of devices taking turns (interleaved), then, as long as the step gets
/// shorter, with cuts moved, parts given to other sets of devices and other micro-batches. The
/// bound is that of the work divided over all devices, whatever the cuts.
/// REQUIRES: found is search_contiguous(model, space).
void search_any_cut(const CostModel& model, const SearchSpace& space, SearchResult& found);

}  // namespace millrace
