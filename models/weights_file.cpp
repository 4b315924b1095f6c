#include "models/weights_file.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "millrace/errors.hpp"
#include "millrace/safetensors.hpp"
#include "models/pytorch/state_dict.hpp"

namespace millrace {
namespace {

class Safetensors final : public WeightsFile {
 public:
  explicit Safetensors(const std::string& path) : file_(SafetensorsFile::open(path)) {
    for (const auto& entry : file_.entries())
      entries_.push_back({entry.name, entry.dtype, entry.shape});
  }

  std::map<std::string, std::string> metadata() const override { return file_.metadata(); }

  void read(const Entry& entry, const at::Tensor& to) const override {
    static const std::map<std::string, at::ScalarType> others = {
        {"F64", at::kDouble}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}};
    const SafetensorsFile::Entry& own = *file_.find(entry.name);
    const auto other = others.find(entry.dtype);
    if (other == others.end()) return file_.read(own, to.data_ptr());
    const at::Tensor values = at::empty(to.sizes(), other->second);
    file_.read(own, values.data_ptr());
    to.copy_(values);
  }

 private:
  SafetensorsFile file_;
};

/// The first bytes of the file; fewer where it is shorter.
std::string begin_of(const std::string& path) {
  std::array<char, 4> bytes{};
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), bytes.size());
  return {bytes.data(), static_cast<std::size_t>(file.gcount())};
}

}  // namespace

std::unique_ptr<WeightsFile> WeightsFile::open(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    throw ConfigError("weights",
                      path +
                          ": is a folder: name a file of weights (`millrace export` writes "
                          "one of a run)");
  }
  if (path.ends_with(".onnx")) {
    throw ConfigError("weights",
                      path +
                          ": is a network of ONNX: name it as the model, or give weights "
                          "as .safetensors or of torch.save");
  }
  if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path))
    throw ConfigError("weights", path + ": is neither a file nor a folder: name a file of weights");
  const std::string begin = begin_of(path);
  // Safetensors begin with a length: as such these four bytes each say tens of megabytes of header.
  if (begin == "PK\x03\x04") return open_state_dict(path);
  if (begin == "\x80\x02\x8a\x0a") {
    throw ConfigError("weights", path +
                                     ": is a pickle as PyTorch wrote it before 1.6: load it there "
                                     "and torch.save its state dict again");
  }
  return std::make_unique<Safetensors>(path);
}

const WeightsFile::Entry* WeightsFile::find(const std::string& name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

}  // namespace millrace
