#pragma once
// Cost graphs for the planner's tests, made in code.

#include <string>
#include <vector>

#include "millrace/profile.hpp"

namespace millrace::fixtures {

/// A kind of core of a made-up board.
struct Core {
  std::string kind;
  int count = 1;
  double flops_per_ns = 30;  ///< matrix products
  double bytes_per_ns = 8;   ///< everything else
  double loaded = 1.15;      ///< factor with every other core busy
};

/// AlexNet for 224 px (21 layers, the flattening left out) as such cores would run it. Kinds of
/// more than one core can use threads and feature slices of every width.
Profile alexnet(const std::vector<Core>& cores);

/// A chain of layers "l0", "l1", … of one kind "core": forward = ns, backward = 2 ns per sample.
Profile plain_chain(const std::vector<double>& ns, int cores);

/// Every layer's backward part in two equal parts, whose sum is the whole; teams' too.
Profile in_two_parts(Profile profile);

/// Such layers as a graph: l0, then n branches of m layers each, then one layer that reads them
/// all.
Profile branches(int n, int m, int cores = 1);

}  // namespace millrace::fixtures
