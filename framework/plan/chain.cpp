#include "framework/plan/chain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <utility>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

using Index = std::map<std::string, int>;

Index index_of_layers(const Profile& profile) {
  Index index;
  for (std::size_t i = 0; i < profile.layers.size(); ++i) {
    index[profile.layers[i].name] = static_cast<int>(i);
  }
  return index;
}

/// Kahn's algorithm; check_profile has refused cycles.
std::vector<int> execution_order(const Profile& profile, const Index& index) {
  std::vector<std::vector<int>> readers(profile.layers.size());
  std::vector<int> missing(profile.layers.size(), 0);
  for (const TensorCosts& tensor : profile.tensors) {
    if (tensor.backward) continue;
    for (const std::string& to : tensor.to) {
      readers[index.at(tensor.from)].push_back(index.at(to));
      ++missing[index.at(to)];
    }
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (missing[i] == 0) ready.push(static_cast<int>(i));
  }
  std::vector<int> order;
  while (!ready.empty()) {
    order.push_back(ready.top());
    ready.pop();
    for (const int reader : readers[order.back()]) {
      if (--missing[reader] == 0) ready.push(reader);
    }
  }
  return order;
}

/// Adds the tensors to the borders that they cross.
class Crossings {
 public:
  Crossings(const Profile& profile, Chain& chain) : profile_(profile), chain_(chain) {
    for (int p = 0; p < chain.size(); ++p) position_[profile.layers[chain.layers[p]].name] = p;
    chain_.borders.resize(chain.layers.size() + 1);
  }

  void add_forward() {
    for (const TensorCosts& tensor : profile_.tensors) {
      if (tensor.backward) continue;
      const int from = position_.at(tensor.from);
      int last = from;
      for (const std::string& to : tensor.to) {
        joined_.insert({from, position_.at(to)});
        last = std::max(last, position_.at(to));
      }
      for (int p = from + 1; p <= last; ++p) {
        chain_.borders[p].forward_bytes += tensor.bytes;
        ++chain_.borders[p].forward_tensors;
      }
    }
  }

  /// Gradients that are given, then those that follow from the forward tensors: summed over the
  /// readers on their way, so they cross a border once.
  void add_backward() {
    for (const TensorCosts& tensor : profile_.tensors) {
      if (tensor.backward) add_gradient(tensor);
    }
    for (const TensorCosts& tensor : profile_.tensors) {
      if (tensor.backward) continue;
      const int to = position_.at(tensor.from);
      int from = to;
      for (const std::string& reader : tensor.to) {
        const int p = position_.at(reader);
        if (!given_.contains({to, p})) from = std::max(from, p);
      }
      add_gradient_bytes(from, to, tensor.bytes);
    }
  }

 private:
  void add_gradient(const TensorCosts& tensor) {
    const int from = position_.at(tensor.from);
    int first = from;
    for (const std::string& name : tensor.to) {
      const int to = position_.at(name);
      if (!joined_.contains({to, from})) {
        throw ConfigError("plan", fmt::format("the gradient from \"{}\" to \"{}\" follows no "
                                              "forward tensor: add the tensor or take it out",
                                              tensor.from, name));
      }
      given_.insert({to, from});
      first = std::min(first, to);
    }
    add_gradient_bytes(from, first, tensor.bytes);
  }

  void add_gradient_bytes(int from, int to, double bytes) {
    for (int p = to + 1; p <= from; ++p) {
      chain_.borders[p].backward_bytes += bytes;
      ++chain_.borders[p].backward_tensors;
    }
  }

  const Profile& profile_;
  Chain& chain_;
  Index position_;
  std::set<std::pair<int, int>> joined_, given_;  ///< producer, reader
};

}  // namespace

Chain make_chain(const Profile& profile) {
  check_profile(profile, "costs");
  Chain chain{execution_order(profile, index_of_layers(profile)), {}};
  Crossings crossings(profile, chain);
  crossings.add_forward();
  if (profile.training) crossings.add_backward();
  return chain;
}

}  // namespace millrace
