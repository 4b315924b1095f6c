#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "models/data/scenes.hpp"

namespace millrace::cli {
namespace {

int make_data(const std::string& folder, const SceneSettings& settings, bool json) {
  const bool made = make_scenes(folder, settings);
  const auto images = static_cast<std::int64_t>(scene_names().size()) * settings.per_class;
  print(json ? json_text({{"folder", folder},
                          {"images", images},
                          {"classes", scene_names()},
                          {"made", made}})
             : fmt::format("{}: {} photos of {} kinds of scenes{}", folder, images,
                           scene_names().size(), made ? "" : ", complete already"));
  return 0;
}

}  // namespace

void add_data(CLI::App& program, Action& action) {
  const auto folder = std::make_shared<std::string>();
  const auto settings = std::make_shared<SceneSettings>();
  CLI::App* data = program.add_subcommand("data", "makes data sets");
  data->require_subcommand(1);
  Verb verb(*data, action, "make", "renders photos of ten kinds of scenes, a folder per class");
  verb.app().add_option("folder", *folder, "where to")->type_name("DIR")->required();
  verb.app()
      .add_option("--per-class", settings->per_class, "images of each class")
      ->capture_default_str()
      ->check(CLI::Range(2, 100'000));
  verb.app().add_option("--seed", settings->seed, "seed of the scenes")->capture_default_str();
  verb.examples(
      "  millrace data make photos\n  millrace data make photos --per-class 200 --seed 7");
  verb.runs([folder, settings](const SettingLayers&, const Presentation& presentation) {
    return make_data(*folder, *settings, presentation.json);
  });
}

}  // namespace millrace::cli
