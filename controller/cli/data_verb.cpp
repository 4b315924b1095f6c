#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "models/data/scenes.hpp"
#include "models/data/tales.hpp"

namespace millrace::cli {
namespace {

struct DataCommand {
  std::string folder;
  SceneSettings scenes;
  TaleSettings tales;
  std::uint64_t seed = 1;
  bool text = false;
};

std::string said(const std::string& folder, const std::string& holds, bool made) {
  return fmt::format("{}: {}{}", folder, holds, made ? "" : ", complete already");
}

int make_pictures(const std::string& folder, const SceneSettings& settings, bool json) {
  const bool made = make_scenes(folder, settings);
  const auto images = static_cast<std::int64_t>(scene_names().size()) * settings.per_class;
  print(json ? json_text({{"folder", folder},
                          {"images", images},
                          {"classes", scene_names()},
                          {"made", made}})
             : said(folder,
                    fmt::format("{} photos of {} kinds of scenes", images, scene_names().size()),
                    made));
  return 0;
}

int make_text(const std::string& folder, const TaleSettings& settings, bool json) {
  const bool made = make_tales(folder, settings);
  print(json ? json_text({{"folder", folder}, {"tales", settings.tales}, {"made", made}})
             : said(folder, fmt::format("{} tales", settings.tales), made));
  return 0;
}

}  // namespace

void add_data(CLI::App& program, Action& action) {
  const auto command = std::make_shared<DataCommand>();
  CLI::App* data = program.add_subcommand("data", "makes data sets");
  data->require_subcommand(1);
  Verb verb(*data, action, "make",
            "renders photos of ten kinds of scenes, a folder per class, or writes tales");
  verb.app().add_option("folder", command->folder, "where to")->type_name("DIR")->required();
  auto* per_class =
      verb.app()
          .add_option("--per-class", command->scenes.per_class, "images of each class")
          ->capture_default_str()
          ->check(CLI::Range(2, 100'000));
  auto* text = verb.app().add_flag("--text", command->text, "text for models of characters");
  verb.app()
      .add_option("--tales", command->tales.tales, "with --text: tales, each some lines")
      ->capture_default_str()
      ->check(CLI::Range(10, 10'000'000))
      ->needs(text);
  text->excludes(per_class);
  verb.app()
      .add_option("--seed", command->seed, "seed of the draws")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()));
  verb.examples(
      "  millrace data make photos\n  millrace data make photos --per-class 200 --seed 7\n"
      "  millrace data make tales --text --tales 20000");
  verb.runs([command](const SettingLayers&, const Presentation& presentation) {
    command->scenes.seed = command->tales.seed = command->seed;
    return command->text ? make_text(command->folder, command->tales, presentation.json)
                         : make_pictures(command->folder, command->scenes, presentation.json);
  });
}

}  // namespace millrace::cli
