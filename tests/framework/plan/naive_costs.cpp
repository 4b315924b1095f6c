#include "tests/framework/plan/naive_costs.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace millrace::oracle {
namespace {

bool lists(const LayerCosts& layer, const std::string& split) {
  return std::find(layer.splits.begin(), layer.splits.end(), split) != layer.splits.end();
}

}  // namespace

NaiveCosts::NaiveCosts(const Profile& profile, Objective objective)
    : profile_(profile), objective_(objective) {
  for (std::size_t p = 0; p < profile.layers.size(); ++p) {
    const std::string name = "l" + std::to_string(p);
    layers_.push_back(*std::find_if(profile.layers.begin(), profile.layers.end(),
                                    [&](const auto& layer) { return layer.name == name; }));
  }
  order_ = order();
}

bool NaiveCosts::is_ideal(Set set) const {
  for (const auto& tensor : profile_.tensors) {
    if (tensor.backward || in(set, number_of(tensor.from))) continue;
    if (any_in(tensor.to, set)) return false;
  }
  return true;
}

std::vector<int> NaiveCosts::order() const {
  std::vector<int> result;
  Set done = 0;
  while (result.size() < layers_.size()) {
    for (const LayerCosts& layer : profile_.layers) {
      const int p = number_of(layer.name);
      if (in(done, p) || !is_ideal(done | Set{1} << p)) continue;
      result.push_back(p);
      done |= Set{1} << p;
      break;
    }
  }
  return result;
}

/// Of the stage, in the order in which they run.
std::vector<int> NaiveCosts::members(const Shape& shape) const {
  std::vector<int> result;
  for (const int p : order_) {
    if (in(shape.last, p) && !in(shape.first, p)) result.push_back(p);
  }
  return result;
}

bool NaiveCosts::all_in(const std::vector<std::string>& names, Set set) const {
  return std::all_of(names.begin(), names.end(),
                     [&](const auto& name) { return in(set, number_of(name)); });
}

bool NaiveCosts::any_in(const std::vector<std::string>& names, Set set) const {
  return std::any_of(names.begin(), names.end(),
                     [&](const auto& name) { return in(set, number_of(name)); });
}

int NaiveCosts::all_devices(const Shape& shape) {
  return std::accumulate(shape.devices.begin(), shape.devices.end(), 0);
}

bool NaiveCosts::legal(const Shape& shape, std::int64_t b) const {
  const int all = all_devices(shape);
  const bool threads = shape.split == Split::threads;
  if (threads ? shape.width < 2 || all % shape.width != 0 : shape.width > 1) return false;
  const int replicas = all / shape.width;
  if (replicas > b) return false;
  const int kinds =
      int(std::count_if(shape.devices.begin(), shape.devices.end(), [](int n) { return n > 0; }));
  if (shape.split == Split::threads && kinds > 1) return false;
  if (shape.split != Split::samples && all < 2) return false;
  const Set run = run_of(shape);
  if (shape.split == Split::features && run == 0) return false;
  for (const int p : members(shape)) {
    const LayerCosts& layer = layers_[p];
    const bool sliced = in(run, p);
    if (replicas > 1 && !sliced && !layer.splits.empty() && !lists(layer, "samples")) {
      return false;
    }
    for (std::size_t k = 0; k < shape.devices.size(); ++k) {
      if (shape.devices[k] == 0) continue;
      const std::string& kind = profile_.kinds[k].name;
      if (!layer.forward_ns.contains(kind)) return false;
      if (threads && !(lists(layer, "threads") && team(layer.threads_ns, kind, shape.width))) {
        return false;
      }
    }
  }
  return true;
}

bool NaiveCosts::team(const std::optional<PassWidths>& passes, const std::string& kind,
                      int width) const {
  const auto has = [&](const std::map<std::string, PerWidth>& pass) {
    return pass.contains(kind) && pass.at(kind).contains(width);
  };
  return passes && has(passes->forward) && (!profile_.training || has(passes->backward));
}

/// Devices of one kind.
bool NaiveCosts::alike(const Shape& shape) {
  return std::count(shape.devices.begin(), shape.devices.end(), 0) + 1 == std::ssize(shape.devices);
}

/// From the first linear layer that can be sliced, as far as the layers can be.
Set NaiveCosts::run_of(const Shape& shape) const {
  if (shape.split != Split::features) return 0;
  int n = 0, kind = 0;
  for (std::size_t k = 0; k < shape.devices.size(); ++k) {
    if (shape.devices[k] == 0) continue;
    std::tie(n, kind) = std::pair(shape.devices[k], int(k));
    const DeviceKind& device = profile_.kinds[k];
    const bool one_memory =
        !device.memory_bytes && device.link_ns_per_byte == 0 && device.link_latency_ns == 0;
    if (!alike(shape) && !one_memory) return 0;
  }
  const auto member = [&](int p) {
    const std::string& name = profile_.kinds[kind].name;
    if (!lists(layers_[p], "features") || !alike(shape)) return lists(layers_[p], "features");
    return layers_[p].forward_ns.contains(name) && team(layers_[p].features_ns, name, n);
  };
  Set run = 0;
  for (const int p : members(shape)) {
    if (run == 0 && !(member(p) && layers_[p].type == "linear")) continue;
    if (!member(p)) break;
    run |= Set{1} << p;
  }
  return run;
}

double NaiveCosts::factor(const LayerCosts& layer, const std::string& kind, bool busy) const {
  const auto found = layer.loaded.find(kind);
  return busy && found != layer.loaded.end() ? found->second : 1;
}

/// A device's rows: x samples of the layers that are not sliced.
Device NaiveCosts::device(const Shape& shape, int k, std::int64_t x, std::int64_t whole,
                          bool sole) const {
  const DeviceKind& kind = profile_.kinds[k];
  const Set run = run_of(shape);
  const bool features = shape.split == Split::features;
  const bool threads = shape.split == Split::threads;
  Device result;
  double again = 0;
  for (const int p : members(shape)) {
    if (in(run, p)) continue;
    const LayerCosts& layer = layers_[p];
    const double busy = factor(layer, kind.name, !sole || all_devices(shape) > shape.width);
    const auto ns = [&](const PerKind& single, std::map<std::string, PerWidth> PassWidths::*part) {
      const auto& curve = threads ? ((*layer.threads_ns).*part).at(kind.name).at(shape.width)
                                  : single.at(kind.name);
      return busy * interpolate_ns(profile_.samples, curve, double(x));
    };
    const double forward = ns(layer.forward_ns, &PassWidths::forward);
    result.forward += forward;
    if (shape.recompute || in(shape.again, p)) again += forward;
    if (!profile_.training) continue;
    const double backward = ns(layer.backward_ns, &PassWidths::backward);
    result.backward += backward;
    const bool apart =
        threads ? !layer.threads_ns->input_gradient.empty() : layer.splits_backward();
    result.input_gradient +=
        apart ? ns(layer.input_gradient_ns, &PassWidths::input_gradient) : backward;
    if (apart) result.weight_gradient += ns(layer.weight_gradient_ns, &PassWidths::weight_gradient);
  }
  result.backward += again;
  result.input_gradient += again;
  const double sent = double(features ? whole : x);
  const auto link = [&](Set border, bool backward) {
    if (sent == 0) return 0.0;
    const auto [bytes, tensors] = crossing(border, backward);
    return bytes * sent * kind.link_ns_per_byte + tensors * kind.link_latency_ns;
  };
  result.in_forward = link(shape.first, false);
  result.out_forward = link(shape.last, false);
  result.in_backward = link(shape.last, true);
  result.out_backward = link(shape.first, true);
  return result;
}

/// Bytes and number of the tensors that leave `before`; each of its gradients comes back once,
/// but for those readers that give one of their own.
std::pair<double, int> NaiveCosts::crossing(Set before, bool backward) const {
  std::pair<double, int> result;
  const auto send = [&](double bytes) {
    result.first += bytes;
    ++result.second;
  };
  for (const auto& tensor : profile_.tensors) {
    const bool made = in(before, number_of(tensor.from));
    if (!backward && !tensor.backward && made && !all_in(tensor.to, before)) send(tensor.bytes);
    if (!backward || !profile_.training) continue;
    if (tensor.backward && !made && any_in(tensor.to, before)) send(tensor.bytes);
    if (tensor.backward || !made) continue;
    std::vector<std::string> silent;
    for (const auto& reader : tensor.to) {
      const bool own =
          std::any_of(profile_.tensors.begin(), profile_.tensors.end(), [&](const auto& gradient) {
            return gradient.backward && gradient.from == reader &&
                   std::count(gradient.to.begin(), gradient.to.end(), tensor.from) > 0;
          });
      if (!own) silent.push_back(reader);
    }
    if (!all_in(silent, before)) send(tensor.bytes);
  }
  return result;
}

double NaiveCosts::compute(const Device& d) const {
  double result = d.forward + d.backward;
  if (!profile_.overlapped_transfers) {
    result += d.in_forward + d.out_forward + d.in_backward + d.out_backward;
  }
  return result;
}

double NaiveCosts::load(const Device& d) const {
  if (!profile_.overlapped_transfers) return compute(d);
  return std::max({compute(d), d.in_forward + d.in_backward, d.out_forward + d.out_backward});
}

/// Sample by sample to whoever would finish first; everybody has one at least.
void NaiveCosts::share(const Shape& shape, bool sole, const Cut& cut, Stage& stage) const {
  for (std::size_t k = 0; k < shape.devices.size(); ++k) {
    for (int i = 0; i < shape.devices[k] / shape.width; ++i) stage.kinds.push_back(int(k));
  }
  stage.shares.assign(stage.kinds.size(), 1);
  for (auto left = cut.b - std::int64_t(stage.kinds.size()); left > 0; --left) {
    std::size_t best = 0;
    double earliest = 1e300;
    for (std::size_t r = 0; r < stage.kinds.size(); ++r) {
      const Device d = device(shape, stage.kinds[r], stage.shares[r] + 1, cut.b, sole);
      double ns = objective_ == Objective::period ? load(d) : compute(d);
      const bool all_sliced = run_of(shape) == (shape.last & ~shape.first);
      if (all_sliced || (shape.split != Split::samples && alike(shape)))
        ns = double(stage.shares[r]);  // evenly
      if (ns < earliest) {
        earliest = ns;
        best = r;
      }
    }
    ++stage.shares[best];
  }
}

Stage NaiveCosts::stage(const Shape& shape, bool sole, const Cut& cut) const {
  Stage result;
  share(shape, sole, cut, result);
  const auto rest = shares_of(result.shares, cut.rest);
  for (std::size_t r = 0; r < result.kinds.size(); ++r) {
    result.full.push_back(device(shape, result.kinds[r], result.shares[r], cut.b, sole));
    result.rest.push_back(device(shape, result.kinds[r], rest[r], cut.rest, sole));
  }
  add_slices(shape, cut.b, cut.b, sole, result.full);
  add_slices(shape, cut.b, cut.rest, sole, result.rest);
  add_step_end(shape, sole, result);
  add_memory(shape, cut, result);
  return result;
}

void NaiveCosts::add_step_end(const Shape& shape, bool sole, Stage& stage) const {
  if (!profile_.training) return;
  const int all = all_devices(shape);
  const Set run = run_of(shape);
  struct Sums {
    int devices;
    double update, before, after;
  };
  std::vector<Sums> kinds;
  for (std::size_t k = 0; k < shape.devices.size(); ++k) {
    if (shape.devices[k] == 0) continue;
    double sums[3] = {0, 0, 0};
    bool behind_run = false;
    for (const int p : members(shape)) {
      const std::string& kind = profile_.kinds[k].name;
      behind_run = behind_run || in(run, p);
      if (!layers_[p].update_ns.contains(kind)) continue;
      const double ns = layers_[p].update_ns.at(kind) * factor(layers_[p], kind, !sole || all > 1);
      sums[0] += ns;
      if (layers_[p].deferred_bytes > 0) continue;
      if (!in(run, p)) sums[behind_run ? 2 : 1] += ns;
    }
    kinds.push_back({shape.devices[k], sums[0], sums[1], sums[2]});
  }
  // The devices finish their parts of the weights at the same time.
  double speed = 0, update = 0, before = 0, after = 0;
  bool known = true;
  for (const Sums& kind : kinds) {
    known = known && kind.update > 0;
    speed += kind.devices / kind.update;
  }
  for (const Sums& kind : kinds) {
    const double part = known ? 1 / kind.update / speed : 1.0 / all;
    update = std::max(update, part * kind.update);
    before = std::max(before, part * kind.before);
    after = std::max(after, part * kind.after);
  }
  stage.update = update;
  stage.reduce = (double(stage.kinds.size()) - 1) / 3 * (before + after);
}

double NaiveCosts::bytes_per_weight_byte(const LayerCosts& layer) const {
  return profile_.bytes_per_weight_byte - (layer.deferred_bytes > 0 ? 1 : 0);
}

void NaiveCosts::add_memory(const Shape& shape, const Cut& cut, Stage& stage) const {
  const Set run = run_of(shape);
  const double replicas = double(stage.kinds.size());
  for (const int p : members(shape)) {
    const LayerCosts& layer = layers_[p];
    stage.fixed += bytes_per_weight_byte(layer) * layer.weights_bytes;
    const bool sliced = in(run, p);
    if (profile_.training && !sliced && layer.deferred_bytes == 0)
      stage.fixed += (replicas - 1) * layer.weights_bytes;
    stage.fixed += layer.deferred_bytes * double(cut.batch);
    stage.flight += layer.saved_bytes;
    if (!sliced) stage.kept += layer.weight_gradient_bytes;
  }
  for (const std::int64_t share : stage.shares) {
    double workspace = 0;
    for (const int p : members(shape)) {
      const double samples = double(in(run, p) ? cut.b : share);
      workspace = std::max(
          workspace, layers_[p].workspace_bytes + samples * layers_[p].workspace_bytes_per_sample);
    }
    stage.fixed += workspace;
  }
  if (shape.again != 0) recompute_some(shape, cut, stage);
  if (!shape.recompute) return;
  stage.fixed += stage.flight * double(cut.b);
  stage.flight = crossing(shape.first, false).first;
}

bool NaiveCosts::devices_fit(const Shape& shape, const Stage& stage, const Cut& cut,
                             const Flight& flight) const {
  const Set run = run_of(shape);
  const int all = all_devices(shape);
  const auto in_whole_ones = [&](std::int64_t count) {
    return double(std::min(cut.batch, count * cut.b)) / double(cut.b);
  };
  const double batches = in_whole_ones(flight.backward);
  for (std::size_t r = 0; r < stage.kinds.size(); ++r) {
    const auto& kind = profile_.kinds[stage.kinds[r]];
    if (!kind.memory_bytes) continue;
    double needed = 0, kept = 0, workspace = 0;
    for (const int p : members(shape)) {
      const bool sliced = in(run, p);
      const double samples = sliced ? double(cut.b) / all : double(stage.shares[r]);
      needed += bytes_per_weight_byte(layers_[p]) * layers_[p].weights_bytes / (sliced ? all : 1);
      needed += layers_[p].deferred_bytes * samples * double(cut.batch) / double(cut.b);
      kept += layers_[p].saved_bytes * samples;
      if (!sliced)
        needed += layers_[p].weight_gradient_bytes * samples * in_whole_ones(flight.weights);
      const double scratch = double(sliced ? cut.b : stage.shares[r]);
      workspace = std::max(
          workspace, layers_[p].workspace_bytes + scratch * layers_[p].workspace_bytes_per_sample);
    }
    const double input = crossing(shape.first, false).first;
    needed += shape.recompute ? kept + input * double(stage.shares[r]) * batches : kept * batches;
    if (needed + workspace > *kind.memory_bytes * (1 + 1e-12)) return false;
  }
  return true;
}

}  // namespace millrace::oracle
