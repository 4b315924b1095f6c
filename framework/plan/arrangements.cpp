#include "framework/plan/arrangements.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

namespace millrace {
namespace {

int begin_of(const std::vector<Piece>& pieces, std::size_t k) {
  return k == 0 ? 0 : pieces[k - 1].end;
}

/// Cuts moved by one layer and by more.
void add_shifts(const Arrangement& from, std::vector<Arrangement>& result) {
  for (std::size_t k = 0; k + 1 < from.pieces.size(); ++k) {
    for (const int by : {1, -1, 2, -2, 4, -4, 8, -8}) {
      const int end = from.pieces[k].end + by;
      if (end < begin_of(from.pieces, k) || end > from.pieces[k + 1].end) continue;
      Arrangement next = from;
      next.pieces[k].end = end;
      next.pieces = joined(next.pieces);
      result.push_back(std::move(next));
    }
  }
}

/// The micro-batches next to it in size, and with about half and twice as many samples.
void add_micro_batches(const Arrangement& from, const std::vector<std::int64_t>& sizes,
                       std::vector<Arrangement>& result) {
  const auto count = static_cast<int>(sizes.size());
  const auto take = [&](int other) {
    if (other < 0 || other >= count || other == from.micro_batch) return;
    result.push_back({from.pieces, other});
  };
  take(from.micro_batch - 1);
  take(from.micro_batch + 1);
  const std::int64_t own = sizes[static_cast<std::size_t>(from.micro_batch)];
  for (const std::int64_t wanted : {own / 2, own * 2}) {
    const auto place = std::find_if(sizes.begin(), sizes.end(),
                                    [&](std::int64_t samples) { return samples <= wanted; });
    take(static_cast<int>(place - sizes.begin()));
  }
}

/// Layers first … last - 1 of stage k, given to another form.
Arrangement gift(const Arrangement& from, std::size_t k, int first, int last, int to) {
  Arrangement next = from;
  next.pieces.insert(next.pieces.begin() + static_cast<std::ptrdiff_t>(k),
                     {{first, from.pieces[k].form}, {last, to}});
  next.pieces = joined(next.pieces);
  return next;
}

/// All of a stage, its beginning, its end or its middle.
void add_gifts(const Arrangement& from, int forms, std::vector<Arrangement>& result) {
  constexpr int kPlaces = 8;
  for (std::size_t k = 0; k < from.pieces.size(); ++k) {
    const int begin = begin_of(from.pieces, k), end = from.pieces[k].end;
    const int step = std::max(1, (end - begin) / kPlaces);
    for (int to = 0; to < forms; ++to) {
      if (to == from.pieces[k].form) continue;
      result.push_back(gift(from, k, begin, end, to));
      for (int at = begin + step; at < end; at += step) {
        result.push_back(gift(from, k, begin, at, to));
        result.push_back(gift(from, k, at, end, to));
        if (at + step < end) result.push_back(gift(from, k, at, at + step, to));
      }
    }
  }
}

void add_exchanges(const Arrangement& from, std::vector<Arrangement>& result) {
  for (std::size_t i = 0; i < from.pieces.size(); ++i)
    for (std::size_t k = i + 1; k < from.pieces.size(); ++k) {
      if (from.pieces[i].form == from.pieces[k].form) continue;
      Arrangement next = from;
      std::swap(next.pieces[i].form, next.pieces[k].form);
      next.pieces = joined(next.pieces);
      result.push_back(std::move(next));
    }
}

}  // namespace

std::vector<Piece> joined(const std::vector<Piece>& pieces) {
  std::vector<Piece> result;
  int begin = 0;
  for (const Piece& piece : pieces) {
    if (piece.end <= begin) continue;
    begin = piece.end;
    if (!result.empty() && result.back().form == piece.form)
      result.back().end = piece.end;
    else
      result.push_back(piece);
  }
  return result;
}

std::vector<int> lanes_of(const std::vector<Piece>& pieces) {
  std::map<int, int> numbers;
  std::vector<int> lanes;
  for (const Piece& piece : pieces)
    lanes.push_back(
        numbers.try_emplace(piece.form, static_cast<int>(numbers.size())).first->second);
  return lanes;
}

std::vector<Arrangement> neighbours(const Arrangement& from, const Moves& moves) {
  std::vector<Arrangement> result;
  add_shifts(from, result);
  add_micro_batches(from, *moves.micro_batches, result);
  add_gifts(from, moves.forms, result);
  add_exchanges(from, result);
  std::erase_if(result, [&](const Arrangement& one) {
    return static_cast<int>(one.pieces.size()) > moves.max_stages;
  });
  return result;
}

}  // namespace millrace
