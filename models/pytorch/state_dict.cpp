#include "models/pytorch/state_dict.hpp"

#include <ATen/ops/from_blob.h>
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "millrace/errors.hpp"
#include "models/pytorch/pickle.hpp"

namespace millrace {
namespace {

using Kind = PickledValue::Kind;
using caffe2::serialize::PyTorchStreamReader;

struct StorageType {
  const char* dtype;
  at::ScalarType type;
};

const std::map<std::string, StorageType>& storage_types() {
  static const std::map<std::string, StorageType> types = {
      {"torch.FloatStorage", {"F32", at::kFloat}},
      {"torch.DoubleStorage", {"F64", at::kDouble}},
      {"torch.HalfStorage", {"F16", at::kHalf}},
      {"torch.BFloat16Storage", {"BF16", at::kBFloat16}},
      {"torch.LongStorage", {"I64", at::kLong}},
      {"torch.IntStorage", {"I32", at::kInt}},
      {"torch.ShortStorage", {"I16", at::kShort}},
      {"torch.CharStorage", {"I8", at::kChar}},
      {"torch.ByteStorage", {"U8", at::kByte}},
      {"torch.BoolStorage", {"BOOL", at::kBool}}};
  return types;
}

/// Where in the archive a tensor's elements are.
struct Place {
  std::string record;
  at::ScalarType type = at::kFloat;
  std::int64_t offset = 0;  ///< elements
  std::vector<std::int64_t> shape, strides;
};

/// What is wrong with a tensor's pickle.
struct NoTensor {};

const PickledValue& item(const PickledValue& value, std::size_t i, Kind kind) {
  if (i >= value.items.size() || value.items[i]->kind != kind) throw NoTensor();
  return *value.items[i];
}

std::vector<std::int64_t> numbers(const PickledValue& list) {
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < list.items.size(); ++i)
    result.push_back(item(list, i, Kind::integer).integer);
  return result;
}

bool calls(const PickledValue& value, const std::string& name) {
  return value.kind == Kind::call && item(value, 0, Kind::global).text == name;
}

/// A parameter's tensor; a pickle may nest them without end, so only once.
const PickledValue& without_parameter(const PickledValue& value) {
  if (!calls(value, "torch._utils._rebuild_parameter")) return value;
  return item(item(value, 1, Kind::list), 0, Kind::call);
}

/// torch._utils._rebuild_tensor_v2(('storage', TYPE, KEY, DEVICE, ELEMENTS), offset, shape,
/// strides, …).
std::pair<std::string, Place> tensor_of(const PickledValue& value) {
  if (!calls(value, "torch._utils._rebuild_tensor_v2")) throw NoTensor();
  const PickledValue& arguments = item(value, 1, Kind::list);
  const PickledValue& storage = item(item(arguments, 0, Kind::persistent), 0, Kind::list);
  const auto type = storage_types().find(item(storage, 1, Kind::global).text);
  if (type == storage_types().end()) throw NoTensor();
  Place place{"data/" + item(storage, 2, Kind::text).text, type->second.type,
              item(arguments, 1, Kind::integer).integer, numbers(item(arguments, 2, Kind::list)),
              numbers(item(arguments, 3, Kind::list))};
  if (place.shape.size() != place.strides.size()) throw NoTensor();
  return {type->second.dtype, std::move(place)};
}

/// Elements of the storage that the tensor reaches over; -1: not a tensor's numbers.
std::int64_t extent(const Place& place) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  if (place.offset < 0 || place.offset > kMost) return -1;
  std::int64_t last = place.offset;
  bool empty = false;
  for (std::size_t d = 0; d < place.shape.size(); ++d) {
    if (place.shape[d] < 0 || place.shape[d] > kMost) return -1;
    if (place.strides[d] < 0 || place.strides[d] > kMost) return -1;
    if (place.shape[d] > 1 && place.strides[d] > kMost / place.shape[d]) return -1;
    empty = empty || place.shape[d] == 0;
    last += (place.shape[d] - 1) * place.strides[d];
    if (last > kMost) return -1;
  }
  return empty ? 0 : last + 1;
}

class StateDict final : public WeightsFile {
 public:
  explicit StateDict(std::string path) : path_(std::move(path)) {
    std::string pickle;
    in_archive([&] {
      reader_ = std::make_unique<PyTorchStreamReader>(path_);
      const auto [data, size] = reader_->getRecord("data.pkl");
      pickle.assign(static_cast<const char*>(data.get()), size);
    });
    const Pickle parsed(pickle, path_);
    for (const auto& [name, value] : tensors_of(parsed.root()).pairs) add(*name, *value);
  }

  void read(const Entry& entry, const at::Tensor& to) const override {
    const Place& place = places_.at(entry.name);
    in_archive([&] {
      const std::lock_guard lock(mutex_);
      const auto [data, size] = reader_->getRecord(place.record);
      const auto bytes = static_cast<std::int64_t>(c10::elementSize(place.type));
      const std::int64_t elements = extent(place);
      if (elements > static_cast<std::int64_t>(size) / bytes) {
        refuse(fmt::format("tensor '{}' needs {} elements, its storage has {}: the file is damaged",
                           entry.name, elements, static_cast<std::int64_t>(size) / bytes));
      }
      char* const first = static_cast<char*>(data.get()) + place.offset * bytes;
      to.copy_(at::from_blob(first, place.shape, place.strides, at::TensorOptions(place.type)));
    });
  }

 private:
  [[noreturn]] void refuse(const std::string& problem) const {
    throw ConfigError("weights", path_ + ": " + problem);
  }

  /// LibTorch's complaints become ours.
  template <typename Work>
  void in_archive(const Work& work) const {
    try {
      work();
    } catch (const c10::Error& error) {
      refuse(std::string("cannot be read as what torch.save writes: ") +
             error.what_without_backtrace());
    }
  }

  const PickledValue& tensors_of(const PickledValue& root) const {
    if (root.kind != Kind::dict) {
      refuse("holds no dict of tensors: save model.state_dict(), not the model");
    }
    for (const char* name : {"state_dict", "model_state_dict", "model"})
      for (const auto& [key, value] : root.pairs)
        if (key->text == name && value->kind == Kind::dict) return *value;
    return root;
  }

  void add(const PickledValue& name, const PickledValue& value) {
    try {
      if (name.kind != Kind::text) throw NoTensor();
      auto [dtype, place] = tensor_of(without_parameter(value));
      if (extent(place) < 0) throw NoTensor();
      entries_.push_back({name.text, dtype, place.shape});
      if (!places_.emplace(name.text, std::move(place)).second)
        refuse(fmt::format("has '{}' twice: the file is damaged", name.text));
    } catch (const NoTensor&) {
      refuse(fmt::format("'{}' is no dense tensor: save model.state_dict() alone", name.text));
    }
  }

  std::string path_;
  mutable std::mutex mutex_;
  std::unique_ptr<PyTorchStreamReader> reader_;
  std::map<std::string, Place> places_;
};

}  // namespace

std::unique_ptr<WeightsFile> open_state_dict(const std::string& path) {
  return std::make_unique<StateDict>(path);
}

}  // namespace millrace
