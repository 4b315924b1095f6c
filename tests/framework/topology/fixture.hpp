#pragma once
// What the tests of this folder stand on: a tree of files that plays "/", and environment variables
// that are put back.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include "framework/topology/blas_core.hpp"
#include "millrace/errors.hpp"

namespace millrace {

/// A folder of its own for each test, removed at the end.
class FileTree {
 public:
  FileTree() {
    std::string name =
        (std::filesystem::temp_directory_path() / "millrace-topology-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~FileTree() { std::filesystem::remove_all(root_); }
  FileTree(const FileTree&) = delete;
  FileTree& operator=(const FileTree&) = delete;

  const std::filesystem::path& root() const { return root_; }

  std::filesystem::path write(const std::string& name, const std::string& content) const {
    const std::filesystem::path path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

 private:
  std::filesystem::path root_;
};

/// The message of the ConfigError that `call` throws.
inline std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing was refused";
}

}  // namespace millrace
