#pragma once
// A network's ONNX file and the data beside it, for a run that keeps them.

#include <memory>
#include <string>

namespace millrace {

/// Holds the files open, so that what is kept is what was there at first, though it be removed or
/// replaced meanwhile; little of them is in memory.
class OnnxFiles {
 public:
  /// Throws ConfigError (tag "onnx") where the file or its data cannot be read.
  explicit OnnxFiles(const std::string& file);
  ~OnnxFiles();
  OnnxFiles(OnnxFiles&&) noexcept;
  OnnxFiles& operator=(OnnxFiles&&) noexcept;

  /// Writes the network as `file`, and its external data, wherever they were, as one file
  /// `file`.data beside it; nothing where `file` is the network's own. Each is complete or absent,
  /// the network comes last. Throws ResourceError where they cannot be written.
  void write(const std::string& file) const;

 private:
  struct Opened;
  std::unique_ptr<Opened> opened_;
};

}  // namespace millrace
