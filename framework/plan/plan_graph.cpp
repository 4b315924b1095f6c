#include "framework/plan/plan_graph.hpp"

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

using Names = std::map<std::string, int>;

/// Kahn's algorithm; check_profile has refused cycles.
std::vector<int> execution_order(const Profile& profile) {
  Names index;
  for (std::size_t i = 0; i < profile.layers.size(); ++i) {
    index[profile.layers[i].name] = static_cast<int>(i);
  }
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

void keep_each_once(std::vector<int>& positions) {
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
}

/// Reads the tensors of a profile whose order is known.
class TensorReader {
 public:
  TensorReader(const Profile& profile, PlanGraph& graph) : profile_(profile), graph_(graph) {
    const std::size_t layers = graph.order.size();
    for (std::size_t p = 0; p < layers; ++p) {
      position_[profile.layers[graph.order[p]].name] = static_cast<int>(p);
    }
    graph.inputs.resize(layers);
    graph.readers.resize(layers);
  }

  void add_forward() {
    for (const TensorCosts& tensor : profile_.tensors) {
      if (tensor.backward) continue;
      const int from = position_.at(tensor.from);
      const std::vector<int> to = positions(tensor.to);
      for (const int reader : to) {
        graph_.inputs[reader].push_back(from);
        graph_.readers[from].push_back(reader);
      }
      graph_.crossings.push_back({{from}, to, tensor.bytes, false});
    }
    for (auto& inputs : graph_.inputs) keep_each_once(inputs);
    for (auto& readers : graph_.readers) keep_each_once(readers);
  }

  /// Gradients that are given, then those that follow from the forward tensors.
  void add_backward() {
    for (const TensorCosts& tensor : profile_.tensors) {
      if (tensor.backward) add_gradient(tensor);
    }
    for (const TensorCosts& tensor : profile_.tensors) {
      if (tensor.backward) continue;
      const int from = position_.at(tensor.from);
      std::vector<int> readers = positions(tensor.to);
      std::erase_if(readers, [&](int reader) { return given_.contains({from, reader}); });
      if (readers.empty()) continue;
      graph_.crossings.push_back({{from}, std::move(readers), tensor.bytes, true});
    }
  }

 private:
  std::vector<int> positions(const std::vector<std::string>& names) const {
    std::vector<int> result;
    for (const std::string& name : names) result.push_back(position_.at(name));
    keep_each_once(result);
    return result;
  }

  void add_gradient(const TensorCosts& tensor) {
    const int from = position_.at(tensor.from);
    const std::vector<int> to = positions(tensor.to);
    for (const int producer : to) {
      const auto& inputs = graph_.inputs[from];
      if (!std::binary_search(inputs.begin(), inputs.end(), producer)) {
        throw ConfigError("plan",
                          fmt::format("the gradient from \"{}\" to \"{}\" follows no forward "
                                      "tensor: add the tensor or take it out",
                                      tensor.from, profile_.layers[graph_.order[producer]].name));
      }
      given_.insert({producer, from});
    }
    graph_.crossings.push_back({to, {from}, tensor.bytes, true});
  }

  const Profile& profile_;
  PlanGraph& graph_;
  Names position_;
  std::set<std::pair<int, int>> given_;  ///< producer, reader
};

}  // namespace

PlanGraph plan_graph(const Profile& profile) {
  check_profile(profile, "costs");
  PlanGraph graph;
  graph.order = execution_order(profile);
  TensorReader tensors(profile, graph);
  tensors.add_forward();
  graph.tensors.resize(graph.order.size());
  for (std::size_t t = 0; t < graph.crossings.size(); ++t)
    for (const int reader : graph.crossings[t].outside)
      graph.tensors[static_cast<std::size_t>(reader)].push_back(t);
  graph.run_end_bytes.resize(graph.order.size());
  for (const Crossing& tensor : graph.crossings)
    graph.run_end_bytes[static_cast<std::size_t>(tensor.inside.front())] += 3 * tensor.bytes;
  if (profile.training) tensors.add_backward();
  return graph;
}

double RunReads::add(int position) {
  members_[static_cast<std::size_t>(position)] = true;
  for (const std::size_t t : graph_->tensors[static_cast<std::size_t>(position)]) {
    const Crossing& tensor = graph_->crossings[t];
    if (members_[static_cast<std::size_t>(tensor.inside.front())] || read_[t]) continue;
    read_[t] = true;
    bytes_ += tensor.bytes;
  }
  return bytes_;
}

}  // namespace millrace
