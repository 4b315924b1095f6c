#include "controller/estimate/borders.hpp"

#include <algorithm>
#include <map>
#include <string>

namespace millrace {
namespace {

/// One border: which layers lie behind it, and what crosses.
class BorderScan {
 public:
  BorderScan(const Profile& profile, const std::map<std::string, int>& stage_of, int border)
      : profile_(profile), stage_of_(stage_of), border_(border) {}

  Border scan() const {
    Border result;
    for (const TensorCosts& tensor : profile_.tensors) {
      if (is_sent_forward(tensor)) add(result.activations, tensor);
      if (is_sent_back(tensor)) add(result.gradients, tensor);
    }
    return result;
  }

 private:
  static void add(Crossing& crossing, const TensorCosts& tensor) {
    crossing.bytes_per_sample += tensor.bytes;
    ++crossing.tensors;
  }

  bool behind(const std::string& layer) const {
    const auto found = stage_of_.find(layer);
    return found != stage_of_.end() && found->second >= border_;
  }

  bool is_sent_forward(const TensorCosts& tensor) const {
    const auto consumer = [&](const std::string& layer) { return behind(layer); };
    return !tensor.backward && !behind(tensor.from) &&
           std::any_of(tensor.to.begin(), tensor.to.end(), consumer);
  }

  /// An explicit gradient, or that of an activation for whose consumers none is given.
  bool is_sent_back(const TensorCosts& tensor) const {
    if (tensor.backward) {
      const auto producer = [&](const std::string& layer) { return !behind(layer); };
      return behind(tensor.from) && std::any_of(tensor.to.begin(), tensor.to.end(), producer);
    }
    const auto implied = [&](const std::string& consumer) {
      return behind(consumer) && !has_gradient(consumer, tensor.from);
    };
    return !behind(tensor.from) && std::any_of(tensor.to.begin(), tensor.to.end(), implied);
  }

  bool has_gradient(const std::string& consumer, const std::string& producer) const {
    return std::any_of(profile_.tensors.begin(), profile_.tensors.end(), [&](const auto& tensor) {
      return tensor.backward && tensor.from == consumer &&
             std::find(tensor.to.begin(), tensor.to.end(), producer) != tensor.to.end();
    });
  }

  const Profile& profile_;
  const std::map<std::string, int>& stage_of_;
  int border_;
};

}  // namespace

std::vector<Border> borders_of(const Profile& profile, const Plan& plan) {
  const auto P = static_cast<int>(plan.stages.size());
  std::map<std::string, int> stage_of;
  for (int s = 0; s < P; ++s) {
    for (const auto& layer : plan.stages[static_cast<std::size_t>(s)].layers) stage_of[layer] = s;
  }
  std::vector<Border> borders(static_cast<std::size_t>(P) + 1);
  for (int border = 1; border < P; ++border) {
    borders[static_cast<std::size_t>(border)] = BorderScan(profile, stage_of, border).scan();
  }
  return borders;
}

}  // namespace millrace
