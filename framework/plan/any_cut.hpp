#pragma once
// Plans whose sets of devices have several stages each, by local search.

#include "framework/plan/search.hpp"

namespace millrace {

/// Adds to what the contiguous search found (or to nothing) the best that is found from a few
/// pipelines, and from lanes of all devices of a kind and of single devices: as they are, with each
/// layer where it is fastest and with the lanes in turns, then, as long as the step gets shorter,
/// with one move after the other (arrangements.hpp). The bound is that of the whole step,
/// whatever the cuts.
void search_any_cut(const CostModel& model, const SearchSpace& space, SearchResult& found);

}  // namespace millrace
