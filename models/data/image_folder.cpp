#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "models/data/formats.hpp"
#include "models/data/image_file.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Files of each class, sorted; classes sorted by name.
using ClassFiles = std::map<std::string, std::vector<fs::path>>;

class ImageFolder : public Dataset {
 public:
  /// Labels follow `class_names`, which holds every key of `files`.
  ImageFolder(const ClassFiles& files, std::vector<std::string> class_names)
      : class_names_(std::move(class_names)) {
    for (std::size_t label = 0; label < class_names_.size(); ++label) {
      const auto found = files.find(class_names_[label]);
      if (found == files.end()) continue;
      for (const fs::path& file : found->second) {
        files_.push_back(file.string());
        labels_.push_back(static_cast<std::int64_t>(label));
      }
    }
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::int64_t label(std::int64_t index) const override {
    return labels_.at(static_cast<std::size_t>(index));
  }
  std::string sample_name(std::int64_t index) const override {
    return files_.at(static_cast<std::size_t>(index));
  }
  Image decode(std::int64_t index, int channels, const ShrinkLimit& limit) const override {
    return read_image(sample_name(index), channels, limit);
  }
  void will_need(std::int64_t index) const override {
    prefetch_file(files_.at(static_cast<std::size_t>(index)));
  }
  /// ImageNet's, which weights trained on photos elsewhere expect.
  std::optional<Normalisation> known_normalisation(int channels) const override {
    if (channels != 3) return std::nullopt;
    return Normalisation{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  }

 private:
  std::vector<std::string> class_names_, files_;
  std::vector<std::int64_t> labels_;
};

bool is_image_name(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

/// Without those in hidden folders, where programs keep thumbnails and copies.
std::vector<fs::path> images_below(const fs::path& folder) {
  std::vector<fs::path> result;
  auto entry = fs::recursive_directory_iterator(folder);
  for (; entry != fs::end(entry); ++entry) {
    if (is_hidden(entry->path())) {
      entry.disable_recursion_pending();
    } else if (is_image_name(entry->path()) && entry->is_regular_file()) {
      result.push_back(entry->path());
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

/// The classes of one folder. An empty one is an error, or left out with a warning.
ClassFiles list_classes(const fs::path& folder, bool skip_bad) {
  ClassFiles classes;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory() || is_hidden(entry.path())) continue;
    auto files = images_below(entry.path());
    if (!files.empty()) {
      classes.emplace(entry.path().filename().string(), std::move(files));
    } else if (skip_bad) {
      log_warning("data", entry.path().string() + " holds no image: the class is left out");
    } else {
      refuse_data(entry.path(),
                  "this class holds no .jpg, .jpeg or .png file: fill it, remove it, or leave it "
                  "out with --skip-bad-images");
    }
  }
  return classes;
}

std::vector<std::string> names_of(const ClassFiles& classes) {
  std::vector<std::string> names;
  for (const auto& [name, files] : classes) names.push_back(name);
  return names;
}

void check_classes(const fs::path& folder, const ClassFiles& classes) {
  const std::string layout = "an image folder holds one folder per class, CLASS/*.jpg";
  if (classes.empty()) {
    refuse_data(folder,
                "holds no classes: " + layout +
                    " (or CIFAR-10's data_batch_*.bin, or MNIST's train-images-idx3-ubyte)");
  }
  if (classes.size() == 1) {
    refuse_data(folder, "holds one class ('" + classes.begin()->first +
                            "'), a classifier needs at least 2: " + layout);
  }
}

constexpr std::array<const char*, 3> kValidationNames = {"val", "validation", "test"};

std::optional<fs::path> validation_folder(const fs::path& root) {
  for (const char* name : kValidationNames) {
    if (fs::is_directory(root / name)) return root / name;
  }
  return std::nullopt;
}

bool holds_folders(const fs::path& folder) {
  return std::any_of(fs::directory_iterator(folder), {}, [](const auto& entry) {
    return !is_hidden(entry.path()) && entry.is_directory();
  });
}

/// Whether the classes are in train/, with no images beside it but for validation. Else "train" is
/// a class like any other.
bool has_split(const fs::path& root) {
  if (!fs::is_directory(root / "train") || !holds_folders(root / "train")) return false;
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory() || is_hidden(entry.path()) || name == "train") continue;
    const auto known = std::find(kValidationNames.begin(), kValidationNames.end(), name);
    if (known != kValidationNames.end() || images_below(entry.path()).empty()) continue;
    log_warning("data", entry.path().string() +
                            " holds images and is neither val, validation nor test, which alone "
                            "may stand beside train: both are taken for classes");
    return false;
  }
  return true;
}

std::shared_ptr<const Dataset> open_validation(const fs::path& folder, const Dataset& train,
                                               bool skip_bad) {
  const ClassFiles classes = list_classes(folder, skip_bad);
  const auto& known = train.class_names();
  for (const auto& [name, files] : classes) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    refuse_data(folder / name,
                "this class is not among the training data's: add it there too, or "
                "remove it here");
  }
  if (classes.empty()) refuse_data(folder, "holds no classes: fill it or remove it");
  return std::make_shared<ImageFolder>(classes, known);
}

}  // namespace

DataSplit open_image_folder(const DataRequest& request) {
  const fs::path root = request.path;
  const bool split_by_hand = has_split(root);
  const fs::path folder = split_by_hand ? root / "train" : root;
  const ClassFiles classes = list_classes(folder, request.skip_bad);
  check_classes(folder, classes);
  const auto train = std::make_shared<ImageFolder>(classes, names_of(classes));
  const auto held_out = split_by_hand ? validation_folder(root) : std::nullopt;
  DataSplit split = held_out
                        ? DataSplit{train, open_validation(*held_out, *train, request.skip_bad), ""}
                        : split_by_class(train, request);
  split.kind = "image folder";
  return split;
}

}  // namespace millrace
