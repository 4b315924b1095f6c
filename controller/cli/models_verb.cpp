#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

std::string models_json() {
  nlohmann::ordered_json models = nlohmann::ordered_json::array();
  for (const ModelInfo& info : zoo()) {
    models.push_back({{"name", info.name},
                      {"sample_shape", info.sample_shape},
                      {"classes", info.default_classes},
                      {"parameters", info.parameters},
                      {"description", info.description}});
  }
  return json_text({{"models", models}});
}

std::string models_text() {
  std::string text;
  for (const ModelInfo& info : zoo()) {
    text += fmt::format("{:<14} {:>13} {:>6.1f} M weights  {}\n", info.name,
                        fmt::format("{}", fmt::join(info.sample_shape, " x ")),
                        static_cast<double>(info.parameters) / 1e6, info.description);
  }
  return text;
}

}  // namespace

void add_models(CLI::App& program, Action& action) {
  Verb verb(program, action, "models", "lists the models that come with Millrace");
  verb.examples("  millrace models\n  millrace models --json");
  verb.runs([](const SettingLayers&, const Presentation& presentation) {
    print(presentation.json ? models_json() : models_text());
    return 0;
  });
}

}  // namespace millrace::cli
