#include "framework/plan/chain.hpp"

#include <fmt/format.h>

#include <map>
#include <string>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

constexpr int kNone = -1;

[[noreturn]] void refuse(const std::string& what) {
  throw ConfigError("plan", what +
                                ": this version plans chains only, where each layer reads the one "
                                "before it; join parallel layers into one layer");
}

/// Who reads whom: next[i] and before[i] are layers' indices, kNone at the ends.
struct Neighbours {
  std::vector<int> next, before;
};

void link(const Profile& profile, Neighbours& neighbours, int from, int to) {
  int& next = neighbours.next[from];
  int& before = neighbours.before[to];
  if (next != kNone && next != to) {
    refuse(fmt::format("layer \"{}\" is read by \"{}\" and \"{}\"", profile.layers[from].name,
                       profile.layers[next].name, profile.layers[to].name));
  }
  if (before != kNone && before != from) {
    refuse(fmt::format("layer \"{}\" reads \"{}\" and \"{}\"", profile.layers[to].name,
                       profile.layers[before].name, profile.layers[from].name));
  }
  next = to;
  before = from;
}

std::map<std::string, int> index_of_layers(const Profile& profile) {
  std::map<std::string, int> index;
  for (std::size_t i = 0; i < profile.layers.size(); ++i) {
    index[profile.layers[i].name] = static_cast<int>(i);
  }
  return index;
}

Neighbours find_neighbours(const Profile& profile, const std::map<std::string, int>& index) {
  Neighbours neighbours{std::vector<int>(profile.layers.size(), kNone),
                        std::vector<int>(profile.layers.size(), kNone)};
  for (const auto& tensor : profile.tensors) {
    if (tensor.backward) continue;
    for (const auto& to : tensor.to) link(profile, neighbours, index.at(tensor.from), index.at(to));
  }
  return neighbours;
}

std::vector<int> walk(const Profile& profile, const Neighbours& neighbours) {
  int first = kNone;
  for (int i = 0; i < static_cast<int>(profile.layers.size()); ++i) {
    if (neighbours.before[i] != kNone) continue;
    if (first != kNone) {
      refuse(fmt::format("no tensor leads to layer \"{}\", nor to \"{}\"",
                         profile.layers[first].name, profile.layers[i].name));
    }
    first = i;
  }
  std::vector<int> order;
  for (int i = first; i != kNone; i = neighbours.next[i]) order.push_back(i);
  return order;
}

void add_tensor(const Profile& profile, const std::map<std::string, int>& position,
                const TensorCosts& tensor, std::vector<Border>& borders) {
  const int from = position.at(tensor.from);
  for (const auto& name : tensor.to) {
    const int to = position.at(name);
    if (!tensor.backward) {
      borders[to].forward_bytes += tensor.bytes;
      ++borders[to].forward_tensors;
      return;  // a tensor is sent once, however often its reader is named
    }
    if (to != from - 1) {
      refuse(fmt::format("the gradient from \"{}\" to \"{}\" follows no forward tensor",
                         tensor.from, name));
    }
    if (!profile.training) continue;
    borders[from].backward_bytes += tensor.bytes;
    ++borders[from].backward_tensors;
    return;
  }
}

}  // namespace

Chain make_chain(const Profile& profile) {
  check_profile(profile, "costs");
  const auto index = index_of_layers(profile);
  Chain chain{walk(profile, find_neighbours(profile, index)), {}};
  std::map<std::string, int> position;
  for (int p = 0; p < chain.size(); ++p) position[profile.layers[chain.layers[p]].name] = p;
  chain.borders.resize(chain.layers.size() + 1);
  for (const auto& tensor : profile.tensors) add_tensor(profile, position, tensor, chain.borders);
  for (Border& border : chain.borders) {
    if (!profile.training || border.backward_tensors > 0) continue;
    border.backward_bytes = border.forward_bytes;  // no gradient was given: as large as the tensor
    border.backward_tensors = border.forward_tensors;
  }
  return chain;
}

}  // namespace millrace
