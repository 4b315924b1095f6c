#pragma once
// A file of named weights: safetensors, or a state dict that torch.save wrote.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace millrace {

/// Opened and checked but for what read() finds. Thread-safe for const use.
class WeightsFile {
 public:
  struct Entry {
    std::string name, dtype;  ///< as safetensors names types: "F32", "I64", …
    std::vector<std::int64_t> shape;
  };

  /// By what the file begins with. Throws ConfigError (tags "weights", "safetensors") naming the
  /// file and: none there, of neither format, damaged, a pickle of something else.
  static std::unique_ptr<WeightsFile> open(const std::string& path);

  virtual ~WeightsFile() = default;

  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* find(const std::string& name) const;
  /// Texts beside the weights; empty where the format has none.
  virtual std::map<std::string, std::string> metadata() const { return {}; }

  /// Into `to`, dense float32 of the entry's shape, from any floating type. Throws ConfigError.
  virtual void read(const Entry& entry, const at::Tensor& to) const = 0;

 protected:
  std::vector<Entry> entries_;
};

}  // namespace millrace
