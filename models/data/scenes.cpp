#include "models/data/scenes.hpp"

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <filesystem>

#include "millrace/errors.hpp"
#include "models/data/generated_folder.hpp"
#include "models/data/scenes/painters.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

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

void check(const SceneSettings& settings) {
  if (settings.per_class < 2 || settings.per_class > 100'000) {
    throw ConfigError(
        "data", std::to_string(settings.per_class) + " pictures a class: it must be 2 to 100000");
  }
  if (settings.threads < 0) {
    throw ConfigError("data", std::to_string(settings.threads) + " threads: it must be at least 0");
  }
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
  write_generated(root / place_of(settings, label, number), bytes.data(), bytes.size());
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
  check(settings);
  return make_generated(folder,
                        {"scenes", manifest_of(settings),
                         [&](const fs::path& made) { return has_every_picture(made, settings); },
                         [&](const fs::path& root) {
                           make_folders(root);
                           write_all(root, settings);
                         }});
}

}  // namespace millrace
