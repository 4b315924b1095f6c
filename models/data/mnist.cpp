// MNIST's idx files, plain or gzip: a big-endian header, then bytes.

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "millrace/log.hpp"
#include "models/data/formats.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kImagesMagic = 0x00000803, kLabelsMagic = 0x00000801;
constexpr std::uint32_t kClasses = 10;
/// Far above any idx set that is about; keeps a damaged header from asking for all memory.
constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 30;

/// A plain or gzip file, read from its start (zlib recognises which).
class InputFile {
 public:
  explicit InputFile(const fs::path& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
    if (!file_) refuse_data(path, std::string("cannot be read: ") + std::strerror(errno));
  }
  ~InputFile() { gzclose(file_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// In parts, so that no more memory is taken than the file has bytes for.
  std::vector<std::uint8_t> read(std::size_t size) {
    constexpr std::size_t kPart = std::size_t{1} << 20;
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < size) {
      const std::size_t done = bytes.size(), wanted = std::min(kPart, size - done);
      bytes.resize(done + wanted);
      const int count = gzread(file_, bytes.data() + done, static_cast<unsigned>(wanted));
      if (count <= 0) {
        refuse_data(path_, "cut short or damaged: ends within the " + std::to_string(size) +
                               " bytes that its header announces, fetch it again");
      }
      bytes.resize(done + static_cast<std::size_t>(count));
    }
    return bytes;
  }

  std::uint32_t read_number() {
    const std::vector<std::uint8_t> bytes = read(4);
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
           std::uint32_t{bytes[2]} << 8 | bytes[3];
  }

  void expect_magic(std::uint32_t magic) {
    const std::uint32_t found = read_number();
    if (found == magic) return;
    refuse_data(path_, "begins with " + std::to_string(found) + ", an idx file of this kind with " +
                           std::to_string(magic) + ": fetch it again");
  }

 private:
  fs::path path_;
  gzFile file_;
};

struct Digits {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  ///< [count][height][width]
  std::vector<std::uint8_t> labels;
};

void read_images(const fs::path& path, Digits& digits) {
  InputFile file(path);
  file.expect_magic(kImagesMagic);
  const std::uint64_t count = file.read_number(), height = file.read_number(),
                      width = file.read_number();
  const bool sane = count > 0 && width > 0 && height > 0 && width <= 4096 && height <= 4096;
  if (!sane || count * height * width > kMaxBytes) {
    refuse_data(path, "announces " + std::to_string(count) + " images of " + std::to_string(width) +
                          " x " + std::to_string(height) + ": the header is damaged");
  }
  digits.width = static_cast<int>(width);
  digits.height = static_cast<int>(height);
  digits.pixels = file.read(count * height * width);
}

void read_labels(const fs::path& path, Digits& digits) {
  InputFile file(path);
  file.expect_magic(kLabelsMagic);
  const std::size_t count = file.read_number();
  const std::size_t images =
      digits.pixels.size() / static_cast<std::size_t>(digits.width * digits.height);
  if (count != images) {
    refuse_data(path, std::to_string(count) + " labels for " + std::to_string(images) +
                          " images: the files do not belong together");
  }
  digits.labels = file.read(count);
}

class Mnist : public Dataset {
 public:
  Mnist(const fs::path& images, const fs::path& labels, bool skip_bad) : images_(images) {
    read_images(images, digits_);
    read_labels(labels, digits_);
    for (char digit = '0'; digit <= '9'; ++digit) class_names_.emplace_back(1, digit);
    for (std::size_t i = 0; i < digits_.labels.size(); ++i) {
      if (is_label(labels, i, skip_bad)) records_.push_back(i);
    }
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(records_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::int64_t label(std::int64_t index) const override { return digits_.labels[record(index)]; }
  std::string sample_name(std::int64_t index) const override {
    return images_.string() + " image " + std::to_string(record(index));
  }
  Image decode(std::int64_t index, int channels, const ShrinkLimit&) const override {
    const auto size = static_cast<std::size_t>(digits_.width * digits_.height);
    return image_from_planes(digits_.pixels.data() + record(index) * size, digits_.width,
                             digits_.height, 1, channels);
  }
  std::optional<Normalisation> known_normalisation(int channels) const override {
    const auto count = static_cast<std::size_t>(channels);
    return Normalisation{std::vector<float>(count, 0.1307f), std::vector<float>(count, 0.3081f)};
  }
  bool may_mirror() const override { return false; }

 private:
  std::size_t record(std::int64_t index) const {
    return records_.at(static_cast<std::size_t>(index));
  }

  bool is_label(const fs::path& path, std::size_t i, bool skip_bad) const {
    const std::uint32_t label = digits_.labels[i];
    if (label < kClasses) return true;
    const std::string problem =
        "label " + std::to_string(i) + " is " + std::to_string(label) + ", labels are 0 to 9";
    if (!skip_bad) refuse_data(path, problem + ": leave it out with --skip-bad-images");
    log_warning("data", path.string() + ": " + problem + "; it is left out");
    return false;
  }

  fs::path images_;
  Digits digits_;
  std::vector<std::size_t> records_;
  std::vector<std::string> class_names_;
};

/// The file as it is, or as .gz, under either spelling that is about; empty: not there.
fs::path find_file(const fs::path& folder, const std::string& name, const std::string& kind) {
  for (const char* join : {"-", "."}) {
    for (const char* ending : {"", ".gz"}) {
      const fs::path path = folder / (name + join + kind + ending);
      if (fs::exists(path)) return path;
    }
  }
  return {};
}

std::shared_ptr<const Dataset> open_part(const DataRequest& request, const std::string& name) {
  const fs::path folder = request.path;
  const fs::path images = find_file(folder, name + "-images", "idx3-ubyte");
  const fs::path labels = find_file(folder, name + "-labels", "idx1-ubyte");
  if (images.empty()) return nullptr;
  if (labels.empty()) {
    refuse_data(folder, images.filename().string() + " is there, " + name +
                            "-labels-idx1-ubyte (or .gz) is not: put it beside");
  }
  return std::make_shared<Mnist>(images, labels, request.skip_bad);
}

}  // namespace

bool is_mnist(const fs::path& folder) {
  return !find_file(folder, "train-images", "idx3-ubyte").empty();
}

DataSplit open_mnist(const DataRequest& request) {
  const auto train = open_part(request, "train");
  DataSplit split{train, open_part(request, "t10k"), ""};
  if (!split.validation) split = split_by_class(train, request);
  split.kind = "MNIST";
  return split;
}

}  // namespace millrace
