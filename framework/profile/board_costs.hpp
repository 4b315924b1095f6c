#pragma once
// What a model might cost on a board that is not here.

#include "millrace/profile.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// `measured` (here, on its fastest kind) with the kinds, counts and memory of `board`: every time
/// divided by CoreKind::relative_speed, so the board's fastest core counts as fast as the measured
/// one. Ratios between layers are those of the machine here, ratios between kinds those of clocks
/// and capacities, which overrate little cores (by half and more for convolutions). Teams of other
/// widths than were measured keep the efficiency of the widest that was.
Profile board_costs(const Profile& measured, const Topology& board);

}  // namespace millrace
