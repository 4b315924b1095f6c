#pragma once
// What a local search over any cuts moves through: who runs which part of an order of layers.

#include <cstdint>
#include <vector>

namespace millrace {

/// A stage: the layers of the order up to `end`, from where the stage before ends. `form` numbers a
/// set of devices.
struct Piece {
  int end = 0, form = 0;
  bool operator==(const Piece&) const = default;
};

/// Stages, and a number into SearchSpace::micro_batches.
struct Arrangement {
  std::vector<Piece> pieces;
  int micro_batch = 0;
};

/// What a move may make.
struct Moves {
  int forms = 0;
  int max_stages = 0;
  const std::vector<std::int64_t>* micro_batches = nullptr;  ///< descending
};

/// Without empty pieces; neighbours of one form are one stage.
std::vector<Piece> joined(const std::vector<Piece>& pieces);

/// By stage: its form, renumbered from 0 in the order of their first stage.
std::vector<int> lanes_of(const std::vector<Piece>& pieces);

/// One move away: a cut moved, another micro-batch, a part given to another form, the forms of two
/// stages exchanged.
std::vector<Arrangement> neighbours(const Arrangement& from, const Moves& moves);

}  // namespace millrace
