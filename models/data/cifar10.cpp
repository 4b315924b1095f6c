// CIFAR-10's binary version: records of a label byte and three planes of 32 x 32 bytes.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "models/data/formats.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr std::int64_t kRecord = 1 + 3 * kSide * kSide;

std::string reason() { return std::strerror(errno); }

/// A file read by several threads at once; nothing of it is kept in memory.
class RecordFile {
 public:
  explicit RecordFile(const fs::path& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) refuse_data(path, "cannot be read: " + reason());
  }
  ~RecordFile() { ::close(descriptor_); }
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  const fs::path& path() const { return path_; }

  void read(std::int64_t record, std::uint8_t* bytes) const {
    const ssize_t count = ::pread(descriptor_, bytes, kRecord, record * kRecord);
    if (count == kRecord) return;
    refuse_data(path_, "record " + std::to_string(record) +
                           " cannot be read: " + (count < 0 ? reason() : "the file was cut short"));
  }

 private:
  fs::path path_;
  int descriptor_ = -1;
};

std::int64_t records_in(const fs::path& path) {
  const auto size = static_cast<std::int64_t>(fs::file_size(path));
  if (size > 0 && size % kRecord == 0) return size / kRecord;
  refuse_data(path, std::to_string(size) + " bytes, a multiple of " + std::to_string(kRecord) +
                        " is expected: the file is cut short or not CIFAR-10's binary version");
}

class Cifar10 : public Dataset {
 public:
  Cifar10(const std::vector<fs::path>& files, std::vector<std::string> names, bool skip_bad)
      : class_names_(std::move(names)) {
    for (const fs::path& path : files) add_file(path, skip_bad);
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::int64_t label(std::int64_t index) const override { return at(index).label; }
  std::string sample_name(std::int64_t index) const override {
    return at(index).file->path().string() + " record " + std::to_string(at(index).record);
  }
  Image decode(std::int64_t index, int channels, const ShrinkLimit&) const override {
    std::uint8_t bytes[kRecord];
    at(index).file->read(at(index).record, bytes);
    return image_from_planes(bytes + 1, kSide, kSide, 3, channels);
  }
  std::optional<Normalisation> known_normalisation(int channels) const override {
    if (channels != 3) return std::nullopt;
    return Normalisation{{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}};
  }

 private:
  struct Sample {
    std::shared_ptr<const RecordFile> file;
    std::int64_t record = 0, label = 0;
  };

  const Sample& at(std::int64_t index) const {
    return samples_.at(static_cast<std::size_t>(index));
  }

  void add_file(const fs::path& path, bool skip_bad) {
    const auto file = std::make_shared<const RecordFile>(path);
    const std::int64_t records = records_in(path);
    std::uint8_t bytes[kRecord];
    for (std::int64_t record = 0; record < records; ++record) {
      file->read(record, bytes);
      if (is_label(*file, record, bytes[0], skip_bad)) samples_.push_back({file, record, bytes[0]});
    }
  }

  bool is_label(const RecordFile& file, std::int64_t record, int label, bool skip_bad) const {
    const auto classes = static_cast<int>(class_names_.size());
    if (label < classes) return true;
    const std::string problem = "record " + std::to_string(record) + " has label " +
                                std::to_string(label) + ", labels are 0 to " +
                                std::to_string(classes - 1);
    if (!skip_bad) refuse_data(file.path(), problem + ": leave it out with --skip-bad-images");
    log_warning("data", file.path().string() + ": " + problem + "; it is left out");
    return false;
  }

  std::vector<std::string> class_names_;
  std::vector<Sample> samples_;
};

fs::path root_of(const fs::path& folder) {
  const fs::path unpacked = folder / "cifar-10-batches-bin";
  return fs::is_directory(unpacked) ? unpacked : folder;
}

std::vector<fs::path> batches_in(const fs::path& root) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("data_batch_") && name.ends_with(".bin")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// The set's own list where it is there.
std::vector<std::string> names_in(const fs::path& root) {
  std::vector<std::string> names;
  std::ifstream stream(root / "batches.meta.txt");
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() == 10) return names;
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

}  // namespace

bool is_cifar10(const fs::path& folder) { return !batches_in(root_of(folder)).empty(); }

DataSplit open_cifar10(const DataRequest& request) {
  const fs::path root = root_of(request.path);
  const auto names = names_in(root);
  const auto train = std::make_shared<Cifar10>(batches_in(root), names, request.skip_bad);
  DataSplit split{train, nullptr, ""};
  if (fs::exists(root / "test_batch.bin")) {
    const std::vector<fs::path> files = {root / "test_batch.bin"};
    split.validation = std::make_shared<Cifar10>(files, names, request.skip_bad);
  } else {
    split = split_by_class(train, request);
  }
  split.kind = "CIFAR-10";
  return split;
}

}  // namespace millrace
