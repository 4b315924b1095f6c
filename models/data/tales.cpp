#include "models/data/tales.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "models/data/draws.hpp"
#include "models/data/generated_folder.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Raised when the same settings would give other tales.
constexpr int kVersion = 1;

struct Person {
  const char *name, *pronoun;
};
constexpr std::array<Person, 8> kPeople = {{{"Anna", "she"},
                                            {"Ben", "he"},
                                            {"Clara", "she"},
                                            {"David", "he"},
                                            {"Emma", "she"},
                                            {"Felix", "he"},
                                            {"Greta", "she"},
                                            {"Hugo", "he"}}};
constexpr std::array kPlaces = {"at the mill",         "by the river", "in the barn",
                                "near the old bridge", "on the hill",  "under the oak"};
constexpr std::array kDays = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"};
constexpr std::array kAnimals = {"cat", "dog", "duck", "goat", "horse", "owl"};
constexpr std::array kMoods = {"grey", "hungry", "quiet", "small", "tired", "young"};
struct Thing {
  const char *one, *many;
};
constexpr std::array<Thing, 6> kThings = {{{"apple", "apples"},
                                           {"berry", "berries"},
                                           {"leaf", "leaves"},
                                           {"loaf", "loaves"},
                                           {"stone", "stones"},
                                           {"box", "boxes"}}};

template <typename Array>
const auto& one_of(const Array& values, Draws& draws) {
  return values[draws.below(values.size())];
}

std::string counted(std::uint64_t count, const Thing& thing) {
  return fmt::format("{} {}", count, count == 1 ? thing.one : thing.many);
}

const char* article(const char* word) {
  return std::string("aeiou").find(word[0]) == std::string::npos ? "a" : "an";
}

std::string tale(std::uint64_t seed, std::int64_t number) {
  Draws draws{seed, static_cast<std::uint64_t>(number)};
  const Person& person = one_of(kPeople, draws);
  const char *day = one_of(kDays, draws), *place = one_of(kPlaces, draws);
  const char *mood = one_of(kMoods, draws), *animal = one_of(kAnimals, draws);
  const Thing& thing = one_of(kThings, draws);
  const std::uint64_t had = 1 + draws.below(9), found = 1 + draws.below(9);
  std::string text = fmt::format("On {} {} met {} {} {} {}.\n", day, person.name, article(mood),
                                 mood, animal, place);
  text += fmt::format("{} had {} and found {} more: that made {}.\n", person.name,
                      counted(had, thing), found, counted(had + found, thing));
  if (draws.coin()) {
    text += fmt::format("The {} took one, so {} went home with {}.\n", animal, person.pronoun,
                        counted(had + found - 1, thing));
  }
  return text + "\n";
}

struct Tales {
  std::string train, validation;
};

Tales tell(const TaleSettings& settings) {
  Tales tales;
  for (std::int64_t number = 0; number < settings.tales; ++number)
    (number % 10 == 9 ? tales.validation : tales.train) += tale(settings.seed, number);
  return tales;
}

void write_tales(const fs::path& root, const TaleSettings& settings) {
  const Tales tales = tell(settings);
  write_generated(root / "train.txt", tales.train.data(), tales.train.size());
  write_generated(root / "val.txt", tales.validation.data(), tales.validation.size());
}

/// Telling them again is as fast as reading them.
bool is_whole(const fs::path& folder, const TaleSettings& settings) {
  const auto content = [&](const char* name) {
    const fs::path file = folder / name;
    return fs::is_regular_file(file) ? read_file(file, "data") : std::string();
  };
  const Tales tales = tell(settings);
  return content("train.txt") == tales.train && content("val.txt") == tales.validation;
}

}  // namespace

bool make_tales(const std::string& folder, const TaleSettings& settings) {
  if (settings.tales < 10 || settings.tales > 10'000'000) {
    throw ConfigError("data", fmt::format("{} tales: it must be 10 to 10000000", settings.tales));
  }
  const std::string manifest = fmt::format("millrace tales, version {}, {} of them, seed {}\n",
                                           kVersion, settings.tales, settings.seed);
  GeneratedSet set{"tales", manifest, {}, {}};
  set.is_whole = [&](const fs::path& made) { return is_whole(made, settings); };
  set.write = [&](const fs::path& root) { write_tales(root, settings); };
  return make_generated(folder, set);
}

}  // namespace millrace
