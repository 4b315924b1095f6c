#include <ATen/core/Tensor.h>
#include <caffe2/serialize/inline_container.h>

#include <string>
#include <utility>

#include "framework/base/file.hpp"
#include "models/pytorch/state_dict.hpp"

namespace millrace {
namespace {

/// Writes the pickle of a dict of tensors, protocol 2, as torch.save does.
class DictPickle {
 public:
  DictPickle() : bytes_("\x80\x02}(") {}

  /// The tensor's elements are record "data/KEY" of the archive.
  void add(const std::string& name, const at::Tensor& tensor, std::int64_t key) {
    put_text(name);
    put_global("torch._utils", "_rebuild_tensor_v2");
    bytes_ += "((";
    put_text("storage");
    put_global("torch", "FloatStorage");
    put_text(std::to_string(key));
    put_text("cpu");
    put_number(tensor.numel());
    bytes_ += "tQ";
    put_number(0);
    put_tuple(tensor.sizes());
    put_tuple(tensor.strides());
    bytes_ += '\x89';  // no gradient
    put_global("collections", "OrderedDict");
    bytes_ += ")RtR";
  }

  std::string finish() && { return std::move(bytes_) + "u."; }

 private:
  void put_little_endian(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xFF);
  }
  void put_text(const std::string& text) {
    bytes_ += 'X';
    put_little_endian(text.size(), 4);
    bytes_ += text;
  }
  void put_number(std::int64_t value) {
    bytes_ += "\x8a\x08";
    put_little_endian(static_cast<std::uint64_t>(value), 8);
  }
  void put_tuple(at::IntArrayRef values) {
    bytes_ += '(';
    for (const std::int64_t value : values) put_number(value);
    bytes_ += 't';
  }
  void put_global(const std::string& module, const std::string& name) {
    bytes_ += 'c' + module + '\n' + name + '\n';
  }

  std::string bytes_;
};

}  // namespace

void save_state_dict(const std::string& path, const NamedTensors& tensors) {
  std::string archive;  // whole, since the writer survives no write that fails
  {
    caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, std::size_t bytes) {
      archive.append(static_cast<const char*>(data), bytes);
      return bytes;
    });
    DictPickle pickle;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      pickle.add(tensors[i].first, tensors[i].second, static_cast<std::int64_t>(i));
    const std::string dict = std::move(pickle).finish();
    writer.writeRecord("data.pkl", dict.data(), dict.size());
    for (std::size_t i = 0; i < tensors.size(); ++i)
      writer.writeRecord("data/" + std::to_string(i), tensors[i].second.data_ptr(),
                         tensors[i].second.nbytes());
    writer.writeEndOfFile();
  }
  write_file_atomically(path, archive, "export");
}

}  // namespace millrace
