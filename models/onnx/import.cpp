#include "models/onnx/import.hpp"

#include <ATen/ops/equal.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "models/data/utf8.hpp"
#include "models/onnx/importer.hpp"

namespace millrace {
namespace onnx_import {
namespace {

constexpr std::int64_t kMostSamples = 1024;  // of a batch that a file is made for
const std::string kSampleName;               // of no layer

/// PyTorch calls a node by the modules that it is in: "/layer1/layer1.0/conv1/Conv" is of
/// "layer1.0.conv1".
std::string module_of(const std::string& node, const std::string& type) {
  std::vector<std::string> modules;
  std::istringstream text(node);
  for (std::string part; std::getline(text, part, '/');) {
    if (part.empty()) continue;
    const bool inside = !modules.empty() && part.starts_with(modules.back() + ".");
    if (inside) modules.pop_back();
    modules.push_back(part);
  }
  if (modules.size() > 1 && modules.back().starts_with(type)) modules.pop_back();
  return fmt::format("{}", fmt::join(modules, "."));
}

/// The module of "lstm.weight_ih_l0" is "lstm"; "" where the name says none.
std::string owner_of(const std::string& weight, const std::string& ending = ".weight") {
  const std::size_t at = weight.rfind(ending);
  const bool whole = at != std::string::npos &&
                     (at + ending.size() == weight.size() || weight[at + ending.size()] == '_');
  return whole ? weight.substr(0, at) : "";
}

/// PyTorch's exporter notes in the node's metadata what its optimiser did. libonnx before 1.16 has
/// no such field, its bytes are kept all the same.
bool has_folded_normalisation(const onnx::NodeProto& node) {
  return node.SerializeAsString().find("FuseBatchNorm") != std::string::npos;
}

}  // namespace

std::string Importer::unused(const std::string& name) const {
  const auto taken = [&](const std::string& candidate) {
    return std::any_of(model_.layers.begin(), model_.layers.end(),
                       [&](const Layer& layer) { return layer.name == candidate; });
  };
  const std::string base = name.empty() ? "layer" : valid_utf8(name);  // as plans keep names
  std::string result = base;
  for (int i = 2; taken(result); ++i) result = fmt::format("{}_{}", base, i);
  return result;
}

std::string Importer::name_of(const NodeReader& node, int weight) {
  const std::string tensor = weight < 0 ? "" : node.weight_name(weight);
  const auto [owner, is_new] = owners_.try_emplace(tensor, node.proto().name());
  if (!tensor.empty() && !is_new)
    node.refuse(
        fmt::format("shares the weights '{}' with node '{}': each layer trains its own, give "
                    "each call a module of its own",
                    tensor, owner->second));
  const std::string module = owner_of(tensor);
  if (!module.empty()) return *named_by_weight_.insert(unused(module)).first;
  const std::string& name = node.proto().name();
  return unused(module_of(name.empty() ? node.proto().output(0) : name, node.type()));
}

void Importer::name_by_bias(const NodeReader& node, int bias, Layer& layer) {
  const std::string owner = owner_of(node.weight_name(bias), ".bias");
  if (owner.empty() || owner == layer.name || named_by_weight_.contains(layer.name)) return;
  const std::string old = std::exchange(layer.name, unused(owner));
  for (auto& [value, maker] : made_)
    if (maker == old) maker = layer.name;
  extents_.erase(old);
  if (rows_.erase(old) > 0) rows_.insert(layer.name);
}

const std::string& Importer::producer(const NodeReader& node, const std::string& value) const {
  const auto found = made_.find(value);
  if (found == made_.end())
    node.refuse(fmt::format("reads '{}', which no node before it makes", value));
  if (found->second == kSampleName && !model_.layers.empty())
    node.refuse("reads the sample, which the first layer alone may");
  return found->second;
}

bool Importer::is_rows(const std::string& layer) const {
  return layer == kSampleName ? model_.sample_shape.size() == 1 && !reads_ids_
                              : rows_.contains(layer);
}

bool Importer::reads_convolution(const NodeReader& node) const {
  const std::string& name = producer(node, node.value());
  const auto layer = std::find_if(model_.layers.begin(), model_.layers.end(),
                                  [&](const Layer& one) { return one.name == name; });
  return layer != model_.layers.end() &&
         layer->module.ptr()->as<torch::nn::Conv2dImpl>() != nullptr;
}

Layer& Importer::own_layer_before(const NodeReader& node) {
  const std::string& name = producer(node, node.value());
  if (readers_of(name) > 1) node.refuse("adds a constant to a value that other nodes read, too");
  for (Layer& layer : model_.layers)
    if (layer.name == name) return layer;
  node.refuse("adds a constant to the sample: export what comes before the first layer apart");
}

/// Under all names of what it makes, each of which but one is made by a reader of another.
int Importer::readers_of(const std::string& layer) const {
  int readers = 1;
  for (const auto& [value, maker] : made_) {
    const auto found = readers_.find(value);
    if (maker == layer) readers += (found == readers_.end() ? 0 : found->second) - 1;
  }
  return readers;
}

/// The first layer reads the sample without naming it.
void Importer::checked_inputs(const NodeReader& node, std::vector<std::string>& inputs) const {
  if (inputs.empty()) node.refuse("reads constants alone");
  const bool sample = inputs.front() == kSampleName;
  if (sample && inputs.size() > 1) node.refuse("reads the sample twice, the first layer may once");
  if (sample && reads_ids_ && node.type() != "Gather")
    node.refuse("reads token ids, which an embedding alone may");
  if (sample) inputs.clear();
}

/// From the output back; counts who reads them.
std::set<std::string> Importer::needed_values() {
  std::set<std::string> needed = {graph().output(0).name()};
  for (int i = graph().node_size(); i-- > 0;) {
    const auto& node = graph().node(i);
    const bool used = std::any_of(node.output().begin(), node.output().end(),
                                  [&](const auto& output) { return needed.contains(output); });
    if (!used || constants_.contains(node.output(0))) continue;
    for (const std::string& input : node.input()) {
      if (input.empty()) continue;  // one that is left out
      needed.insert(input);
      ++readers_[input];
    }
  }
  return needed;
}

void Importer::warn() const {
  if (graph().output_size() > 1)
    log_warning("onnx", fmt::format("{} has {} outputs: '{}' is trained, the others are left out",
                                    file_.path, graph().output_size(), graph().output(0).name()));
  warn_of_ties();
  if (file_.proto.producer_name() != "millrace") warn_of_inference();
}

/// Exporters that turn a head's weights copy what it shares with the embedding.
void Importer::warn_of_ties() const {
  if (!reads_ids_) return;
  const Layer &embedding = model_.layers.front(), &head = model_.layers.back();
  const auto* linear = head.module.ptr()->as<torch::nn::LinearImpl>();
  const torch::Tensor weight = embedding.module.ptr()->parameters().front();
  if (linear != nullptr && at::equal(linear->weight, weight))
    log_warning("onnx", fmt::format("{}: '{}' has the weights of '{}', from here on they train "
                                    "apart",
                                    file_.path, head.name, embedding.name));
}

void Importer::warn_of_inference() const {
  if (!folded_.empty()) {
    log_warning("onnx", fmt::format("{}: batch normalisation was folded into {} layers, '{}' the "
                                    "first: they train without it; export with optimize=False to "
                                    "keep it",
                                    file_.path, folded_.size(), folded_.front()));
  } else if (keeps_normalisation_ && !for_training_) {
    log_info("onnx", fmt::format("{} has no dropout: where the network has, export net.train()",
                                 file_.path));
  } else if (!for_training_) {
    log_warning("onnx",
                fmt::format("{} was exported for inference, unless its network has neither dropout "
                            "nor batch normalisation: it trains as it stands, without dropout "
                            "and batch normalisation that were folded away; export net.train() "
                            "with optimize=False (with dynamo=False: "
                            "training=torch.onnx.TrainingMode.TRAINING) to keep them",
                            file_.path));
  }
}

void Importer::read(const onnx::NodeProto& proto) {
  const NodeReader node(proto, constants_, file_.path);
  const auto found = operators().find(proto.op_type());
  if (found == operators().end() && node.values().empty()) node.refuse(kComputedShape);
  if (found == operators().end() || !is_onnx(proto)) node.refuse(kUnknown);
  if (has_folded_normalisation(proto)) folded_.push_back(proto.name());
  try {
    found->second(*this, node);
  } catch (const Error&) {  // of Millrace
    throw;
  } catch (const c10::Error& error) {
    node.refuse(std::string("is not as LibTorch needs it: ") + error.what_without_backtrace());
  } catch (const std::runtime_error& error) {  // LibTorch's of a shape that does not fit
    node.refuse(std::string("is not as LibTorch needs it: ") + error.what());
  }
}

void Importer::check_widths(const std::vector<LayerFacts>& layers) const {
  for (const LayerFacts& layer : layers) {
    const auto expected = widths_.find(layer.name);
    if (expected == widths_.end() || layer.output_shape.front() == expected->second) continue;
    refuse(file_.path, fmt::format("layer '{}' makes rows of {} numbers of {}: rows of all numbers "
                                   "of a sample are trained",
                                   layer.name, expected->second, layer.output_shape.front()));
  }
}

/// Text is trained by what follows each of its characters.
void Importer::check_positions(const LayerFacts& last) const {
  const bool fits = last.output_shape.size() == 2 && last.output_shape[0] == model_.sample_shape[0];
  if (reads_ids_ && !fits)
    refuse(file_.path, fmt::format("makes [{}] of {} token ids, [positions, vocabulary] is "
                                   "trained: export a network that answers for each position",
                                   fmt::join(last.output_shape, ", "), model_.sample_shape[0]));
  if (reads_ids_ && model_.vocabulary != last.output_shape[1])
    refuse(file_.path, fmt::format("embeds {} token ids and answers with {} numbers: of text each "
                                   "id is one of both, make them as many",
                                   model_.vocabulary, last.output_shape[1]));
}

Importer::Nodes Importer::needed_nodes() {
  const auto needed = needed_values();
  Nodes nodes;
  for (const auto& proto : graph().node()) {
    const bool used = proto.output_size() > 0 &&
                      std::any_of(proto.output().begin(), proto.output().end(),
                                  [&](const auto& output) { return needed.contains(output); });
    if (used && !constants_.contains(proto.output(0))) nodes.push_back(&proto);
  }
  return nodes;
}

Model Importer::run() {
  if (graph().output_size() == 0) refuse(file_.path, "has no output: export it again");
  model_.name = std::filesystem::path(file_.path).stem().string();
  if (valid_utf8(model_.name) != model_.name)
    refuse(file_.path,
           "plans and runs are called by the file's name, which is not UTF-8: rename "
           "the file");
  model_.sample_shape = sample_shape_of(file_);
  const onnx::ValueInfoProto& input = only_input(file_);
  sample_ = input.name();
  made_[sample_] = kSampleName;
  reads_ids_ = onnx_import::reads_ids(file_);
  const std::int64_t samples = input.type().tensor_type().shape().dim(0).dim_value();
  if (samples > kMostSamples)
    refuse(file_.path, fmt::format("has a batch of {}, {} at most are tried: export it with an "
                                   "open one or one of 1",
                                   samples, kMostSamples));
  if (samples > 0) samples_ = samples;
  read_all(needed_nodes());
  if (model_.layers.empty() || !made_.contains(graph().output(0).name()))
    refuse(file_.path, fmt::format("no layer makes the output '{}'", graph().output(0).name()));
  const std::vector<LayerFacts> facts = check_model(model_);
  check_widths(facts);
  check_positions(facts.back());
  const std::vector<std::int64_t>& answer = facts.back().output_shape;
  model_.classes = reads_ids_ ? answer.back() : answer.front();
  warn();
  return std::move(model_);
}

}  // namespace onnx_import

Model import_onnx(const std::string& file) {
  const onnx_import::OnnxFile opened = onnx_import::read_onnx(file);
  return onnx_import::Importer(opened).run();
}

bool onnx_reads_ids(const std::string& file) {
  return onnx_import::reads_ids(onnx_import::read_onnx(file));
}

std::map<std::string, std::string> onnx_metadata(const std::string& file) {
  std::map<std::string, std::string> metadata;
  const onnx_import::OnnxFile opened = onnx_import::read_onnx(file);
  for (const auto& one : opened.proto.metadata_props()) metadata[one.key()] = one.value();
  return metadata;
}

std::vector<std::int64_t> onnx_sample_shape(const std::string& file) {
  return onnx_import::sample_shape_of(onnx_import::read_onnx(file));
}

}  // namespace millrace
