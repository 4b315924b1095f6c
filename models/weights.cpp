#include "models/weights.hpp"

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/embedding.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "millrace/errors.hpp"
#include "models/onnx/import.hpp"
#include "models/pytorch/state_dict.hpp"
#include "models/weights_file.hpp"
#include "models/zoo/list.hpp"

namespace millrace {
namespace {

constexpr const char* kClassesKey = "millrace.classes";

using Parameters = std::vector<std::pair<std::string, torch::Tensor>>;

std::string text(const std::vector<std::int64_t>& shape) {
  std::string result;
  for (const auto extent : shape) result += (result.empty() ? "" : " x ") + std::to_string(extent);
  return result.empty() ? "one number" : result;
}

/// "a, b, c and 13 more".
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  std::string result;
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i) {
    result += (i == 0 ? "" : ", ") + names[i];
  }
  const std::size_t more = names.size() - std::min(kShown, names.size());
  return more == 0 ? result : result + " and " + std::to_string(more) + " more";
}

/// Parameters of the last layer that has any, up to the one called `output`.
std::set<std::string> head_of(const Model& model, const std::string& output) {
  std::set<std::string> names;
  auto layer = std::find_if(model.layers.rbegin(), model.layers.rend(),
                            [&](const Layer& other) { return other.name == output; });
  for (; layer != model.layers.rend() && names.empty(); ++layer) {
    for (const auto& item : layer->module.ptr()->named_parameters()) {
      names.insert(layer->name + "." + item.key());
    }
  }
  return names;
}

/// Parameters of the last layers of the model's output and of its auxiliary ones, and of what
/// stands for its tokens: what depends on the data's classes.
std::set<std::string> heads_of(const Model& model) {
  std::set<std::string> names = head_of(model, model.layers.back().name);
  for (const Layer& layer : model.layers)
    if (layer.module.ptr()->as<torch::nn::EmbeddingImpl>()) names.insert(layer.name + ".weight");
  for (const AuxiliaryOutput& output : model.auxiliary) names.merge(head_of(model, output.layer));
  return names;
}

/// What a file of weights holds: parameters and running statistics, in layer order each.
Parameters named_weights(const Model& model) {
  Parameters weights = named_parameters(model);
  for (auto& buffer : named_buffers(model)) weights.push_back(std::move(buffer));
  return weights;
}

/// Of the layers that auxiliary outputs alone need.
std::set<std::string> auxiliary_weights(const Model& model) {
  const std::vector<bool> auxiliary = training_only(model);
  Model part;
  for (std::size_t l = 0; l < model.layers.size(); ++l)
    if (auxiliary[l]) part.layers.push_back(model.layers[l]);
  std::set<std::string> names;
  for (const auto& [name, value] : named_weights(part)) names.insert(name);
  return names;
}

/// PyTorch counts batches, which only averages over all of them would need.
bool is_counter(const std::string& name) { return name.ends_with(".num_batches_tracked"); }

/// Of GoogLeNet and Inception v3 in torchvision's files, for models that train without.
bool is_auxiliary_head(const std::string& name) {
  return name.starts_with("aux1.") || name.starts_with("aux2.") || name.starts_with("AuxLogits.");
}

bool is_passed_over(const std::string& name) { return is_counter(name) || is_auxiliary_head(name); }

/// As torchvision calls it: its file of DenseNet has "denselayer1.norm.1.weight" for
/// "denselayer1.norm1.weight", and is renamed there, too, when it is loaded.
std::string renamed(std::string published) {
  const std::size_t layer = published.find(".denselayer");
  for (const char* part : {".norm.1.", ".norm.2.", ".conv.1.", ".conv.2."}) {
    const std::size_t at = published.find(part, layer);
    if (at != std::string::npos) published.erase(at + std::strlen(".norm"), 1);
  }
  return published;
}

bool is_floating(const std::string& dtype) {
  return dtype == "F32" || dtype == "F64" || dtype == "F16" || dtype == "BF16";
}

/// A loading that was asked for, checked step by step.
class Loading {
 public:
  Loading(const Model& model, const std::string& file, Head head)
      : file_(file), opened_(WeightsFile::open(file)), head_(heads_of(model)) {
    for (const auto& [name, value] : named_weights(model)) known_.insert(name);
    for (const auto& entry : opened_->entries()) entries_.emplace(own_name(entry.name), &entry);
    const std::set<std::string> auxiliary = auxiliary_weights(model);
    const bool has_auxiliary =
        std::any_of(auxiliary.begin(), auxiliary.end(),
                    [this](const std::string& name) { return entries_.contains(name); });
    for (auto& parameter : named_weights(model)) {
      const bool in_file = has_auxiliary || !auxiliary.contains(parameter.first);
      const bool wanted = head == Head::load || !head_.contains(parameter.first);
      if (in_file && wanted) wanted_.push_back(std::move(parameter));
    }
  }

  void check_names() const {
    std::vector<std::string> missing, unexpected;
    for (const auto& [name, value] : wanted_) {
      if (!entries_.contains(name)) missing.push_back(name);
    }
    for (const auto& entry : opened_->entries()) {
      if (!known_.contains(own_name(entry.name)) && !is_passed_over(entry.name))
        unexpected.push_back(entry.name);
    }
    if (missing.empty() && unexpected.empty()) return;
    std::string problem;
    if (!missing.empty()) problem = "lacks " + some_of(missing);
    if (!unexpected.empty()) {
      problem +=
          (problem.empty() ? "has " : "; has ") + some_of(unexpected) + ", which the model has not";
    }
    const bool wrapped = std::any_of(unexpected.begin(), unexpected.end(),
                                     [](const auto& name) { return name.starts_with("module."); });
    refuse(problem + (wrapped ? ": save model.module.state_dict() of what DataParallel wraps"
                              : ": weights of another model?"));
  }

  void check_tensors() const {
    for (const auto& [name, value] : wanted_) {
      const auto& entry = *entries_.at(name);
      if (!is_floating(entry.dtype)) {
        refuse("'" + name + "' is " + entry.dtype + ", weights are floating-point: convert them");
      }
      const auto shape = value.sizes().vec();
      if (entry.shape == shape) continue;
      const std::string remedy = head_.contains(name)
                                     ? "start the last layer afresh with --new-head"
                                     : "weights of another model?";
      refuse("'" + name + "' is " + text(entry.shape) + ", the model's is " + text(shape) + ": " +
             remedy);
    }
  }

  void copy() const {
    for (const auto& [name, value] : wanted_) {
      MILLRACE_CHECK(value.is_contiguous(), "weights", "'" + name + "' is not contiguous");
      opened_->read(*entries_.at(name), value.detach());
    }
  }

 private:
  /// What the model calls a tensor of the file.
  std::string own_name(const std::string& name) const {
    return known_.contains(name) ? name : renamed(name);
  }

  [[noreturn]] void refuse(const std::string& problem) const {
    throw ConfigError("weights", file_ + ": " + problem);
  }

  std::string file_;
  std::unique_ptr<WeightsFile> opened_;
  std::map<std::string, const WeightsFile::Entry*> entries_;  ///< by the model's names
  std::set<std::string> head_, known_;
  Parameters wanted_;
};

}  // namespace

void load_weights(const Model& model, const std::string& file, Head head) {
  const Loading loading(model, file, head);
  loading.check_names();
  loading.check_tensors();
  loading.copy();
}

std::optional<std::vector<std::string>> classes_in(const std::string& file) {
  const std::map<std::string, std::string> metadata =
      is_model_file(file) ? onnx_metadata(file) : WeightsFile::open(file)->metadata();
  const auto found = metadata.find(kClassesKey);
  if (found == metadata.end()) return std::nullopt;
  const auto classes = nlohmann::json::parse(found->second, nullptr, false);
  const bool texts =
      classes.is_array() &&
      std::all_of(classes.begin(), classes.end(), [](const auto& one) { return one.is_string(); });
  if (!texts)
    throw ConfigError("weights",
                      file + ": its " + kClassesKey + " are no list of names: export it again");
  return classes.get<std::vector<std::string>>();
}

void check_weights_ending(const std::string& file) {
  for (const char* ending : {".safetensors", ".pt", ".pth", ".onnx"})
    if (file.ends_with(ending)) return;
  throw ConfigError("export", file +
                                  ": the ending says the format, .safetensors, .pt, .pth or .onnx: "
                                  "name it so");
}

void save_weights(const Model& model, const std::string& file, const OnnxFacts& facts) {
  check_weights_ending(file);
  if (file.ends_with(".onnx")) return export_onnx(model, file, facts);
  if (!file.ends_with(".safetensors")) return save_state_dict(file, named_weights(model));
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  // Which character an id stands for follows from nothing else.
  if (model.vocabulary > 0 && !facts.classes.empty())
    metadata[kClassesKey] = nlohmann::json(facts.classes).dump();
  write_safetensors(file, weights_of(model), metadata);
}

std::vector<TensorView> weights_of(const Model& model) {
  std::vector<TensorView> result;
  for (const auto& [name, value] : named_weights(model)) {
    MILLRACE_CHECK(value.is_contiguous(), "weights", "'" + name + "' is not contiguous");
    result.push_back({name, "F32", value.sizes().vec(), value.data_ptr(),
                      static_cast<std::int64_t>(value.nbytes())});
  }
  return result;
}

}  // namespace millrace
