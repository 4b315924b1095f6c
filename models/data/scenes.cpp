#include "models/data/scenes.hpp"

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "millrace/errors.hpp"
#include "models/data/scenes/painters.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Names the settings that a folder was made with; written last, so that it says "complete", too.
constexpr const char* kManifest = "scenes.txt";
/// Raised when the same settings would give other pictures.
constexpr int kVersion = 1;

std::string manifest_of(const SceneSettings& settings) {
  return "millrace scenes, version " + std::to_string(kVersion) + ", " +
         std::to_string(settings.per_class) + " a class, seed " + std::to_string(settings.seed) +
         "\n";
}

std::int64_t validation_count(const SceneSettings& settings) {
  return std::max<std::int64_t>(1, settings.per_class / 6);
}

/// Where picture `number` of a class goes, below the folder.
fs::path place_of(const SceneSettings& settings, std::size_t label, std::int64_t number) {
  const bool held_out = number >= settings.per_class - validation_count(settings);
  std::string name = std::to_string(number);
  name.insert(0, 5 - std::min<std::size_t>(5, name.size()), '0');
  return fs::path(held_out ? "val" : "train") / scenes::all()[label].name / (name + ".jpg");
}

[[noreturn]] void cannot_write(const fs::path& path, const std::string& reason) {
  throw ResourceError("data", path.string() + ": cannot be written: " + reason +
                                  "; choose another folder or free space");
}

void write(const fs::path& path, const void* data, std::size_t size) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  stream.close();
  if (!stream) cannot_write(path, std::strerror(errno));
}

/// A folder that is removed unless it got its final name.
class UnfinishedFolder {
 public:
  explicit UnfinishedFolder(const fs::path& target)
      : path_(target.string() + ".unfinished-" + std::to_string(::getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~UnfinishedFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void check(const std::string& folder, const SceneSettings& settings) {
  if (settings.per_class < 2 || settings.per_class > 100'000) {
    throw ConfigError(
        "data", std::to_string(settings.per_class) + " pictures a class: it must be 2 to 100000");
  }
  if (settings.threads < 0) {
    throw ConfigError("data", std::to_string(settings.threads) + " threads: it must be at least 0");
  }
  if (folder.empty()) throw ConfigError("data", "the folder for the pictures has no name");
}

/// Absolute, so that the unfinished folder stands beside it and not inside.
fs::path without_trailing_slash(const std::string& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

bool has_every_picture(const fs::path& folder, const SceneSettings& settings) {
  std::error_code error;
  for (std::size_t label = 0; label < scenes::all().size(); ++label) {
    for (std::int64_t number = 0; number < settings.per_class; ++number) {
      const auto size = fs::file_size(folder / place_of(settings, label, number), error);
      if (error || size == 0) return false;
    }
  }
  return true;
}

/// True where the set is there already; false where it can be made.
bool is_there(const fs::path& folder, const SceneSettings& settings) {
  if (!fs::exists(folder)) return false;
  if (fs::is_directory(folder) && fs::is_empty(folder)) return false;
  std::stringstream found;
  found << std::ifstream(folder / kManifest).rdbuf();
  const std::string wanted = manifest_of(settings);
  if (found.str() == wanted && has_every_picture(folder, settings)) return true;
  std::string holds = "something else";
  if (found.str().starts_with("millrace scenes")) {
    holds = found.str() == wanted ? "an incomplete set" : found.str();
  }
  while (holds.ends_with('\n')) holds.pop_back();
  throw ConfigError("data", folder.string() + " holds " + holds + ", asked for is " +
                                wanted.substr(0, wanted.size() - 1) +
                                ": remove the folder or choose another");
}

void make_folders(const fs::path& root) {
  for (const auto& scene : scenes::all()) {
    fs::create_directories(root / "train" / scene.name);
    fs::create_directories(root / "val" / scene.name);
  }
}

void write_picture(const fs::path& root, const SceneSettings& settings, std::int64_t job) {
  const std::size_t label = static_cast<std::size_t>(job / settings.per_class);
  const std::int64_t number = job % settings.per_class;
  const auto bytes = encode_jpeg(scenes::paint(label, number, settings.seed), 88);
  write(root / place_of(settings, label, number), bytes.data(), bytes.size());
}

void write_all(const fs::path& root, const SceneSettings& settings) {
  const std::int64_t jobs = static_cast<std::int64_t>(scenes::all().size()) * settings.per_class;
  const int width = settings.threads > 0 ? settings.threads : tbb::task_arena::automatic;
  tbb::task_arena arena(width);
  std::atomic<std::int64_t> done = 0;  // orders what the thread sanitizer cannot see oneTBB order
  arena.execute([&] {
    tbb::parallel_for(std::int64_t{0}, jobs, [&](std::int64_t job) {
      write_picture(root, settings, job);
      ++done;
    });
  });
  MILLRACE_CHECK(done == jobs, "data", "a picture was left out");
}

}  // namespace

const std::vector<std::string>& scene_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const auto& scene : scenes::all()) result.push_back(scene.name);
    return result;
  }();
  return names;
}

bool make_scenes(const std::string& folder, const SceneSettings& settings) {
  check(folder, settings);
  try {
    const fs::path target = without_trailing_slash(folder);
    if (is_there(target, settings)) return false;
    const UnfinishedFolder unfinished(target);
    make_folders(unfinished.path());
    write_all(unfinished.path(), settings);
    const std::string manifest = manifest_of(settings);
    write(unfinished.path() / kManifest, manifest.data(), manifest.size());
    fs::rename(unfinished.path(), target);
  } catch (const fs::filesystem_error& error) {
    cannot_write(folder, error.code().message());
  }
  return true;
}

}  // namespace millrace
