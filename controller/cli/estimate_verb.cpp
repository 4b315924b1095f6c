#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "controller/cli/planning.hpp"
#include "controller/cli/torch_verbs.hpp"
#include "controller/cli/verbs.hpp"
#include "controller/estimate/what_if.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

/// Flags that are no settings, as they were given.
struct EstimateFlags {
  std::optional<std::string> batches, core_counts;
  std::string costs, board;
};

void add_flags(CLI::App& app, EstimateFlags& flags) {
  app.add_option("--batch", flags.batches, "samples of a step; several are compared")
      ->type_name("N|auto|LIST");
  app.add_option(
         "--core-counts", flags.core_counts,
         "compare the best plans for so many cores, the fastest first, such as 1..8 or 1,2,4")
      ->type_name("LIST");
  auto* costs = app.add_option("--costs", flags.costs,
                               "a cost file instead of measuring; with --plan: the one that it was "
                               "made for")
                    ->type_name("FILE");
  app.add_option("--board", flags.board,
                 "for a board that comes with Millrace, with times scaled from this machine's")
      ->type_name("NAME")
      ->excludes(costs);
}

/// The configuration with each batch of the list, ascending, each once.
std::vector<RunConfig> configs_of(const SettingLayers& layers,
                                  const std::optional<std::string>& batches) {
  if (!batches) return {resolved_with_model(layers)};
  std::map<std::int64_t, RunConfig> configs;
  for (std::size_t begin = 0; begin <= batches->size();) {
    const std::size_t end = std::min(batches->find(',', begin), batches->size());
    SettingLayers one = layers;
    one.flags.emplace_back("plan.batch", batches->substr(begin, end - begin));
    const RunConfig config = resolved_with_model(one);
    configs.emplace(config.batch, config);
    begin = end + 1;
  }
  std::vector<RunConfig> ascending;
  for (auto& [batch, config] : configs) ascending.push_back(std::move(config));
  return ascending;
}

void refuse_together(const std::string& first, const std::string& second, const char* why) {
  throw ConfigError("usage",
                    fmt::format("{} and {}: {}: leave one of them out", first, second, why));
}

/// A comparison is of plans that are searched.
void require_searched(const EstimateCommand& command) {
  const RunConfig& config = command.config;
  const std::string asked = !command.core_counts.empty() ? "--core-counts"
                            : command.batches.size() > 1 ? "a list of batches"
                            : config.deadline            ? "--deadline"
                            : !command.board.empty()     ? "--board " + command.board
                            : !command.costs.empty()     ? "--costs " + command.costs
                                                         : "";
  if (asked.empty()) return;
  if (command.compares() && !config.plan_file.empty())
    refuse_together(asked, "--plan " + config.plan_file, "the best plans are compared");
  if (config.refine > 1)
    refuse_together(asked, fmt::format("--refine {}", config.refine),
                    "no plan is tried on this machine");
}

EstimateCommand command_of(const EstimateFlags& flags, const SettingLayers& layers) {
  const std::vector<RunConfig> configs = configs_of(layers, flags.batches);
  EstimateCommand command{configs.back(), {}, {}, flags.costs, flags.board};
  for (const RunConfig& config : configs) command.batches.push_back(config.batch);
  RunConfig& config = command.config;
  if (flags.core_counts) command.core_counts = parse_counts("--core-counts", *flags.core_counts);
  if (!config.epochs && !config.steps) {
    throw ConfigError("usage", "estimate needs the length of the run: --epochs N or --steps N");
  }
  check_deadline(config);
  if (!config.plan_file.empty() && !command.costs.empty())
    config.costs_file = std::exchange(command.costs, "");
  require_searched(command);
  return command;
}

}  // namespace

void add_estimate(CLI::App& program, Action& action) {
  const auto flags = std::make_shared<EstimateFlags>();
  Verb verb(program, action, "estimate", "says how long a training will take, before it runs");
  verb.model().settings({SettingGroup::shared, SettingGroup::planning, SettingGroup::data,
                         SettingGroup::training, SettingGroup::ending},
                        {"plan.batch", "plan.costs"});
  add_flags(verb.app(), *flags);
  verb.examples(
      "  millrace estimate alexnet --steps 1000\n"
      "  millrace estimate alexnet --data photos --epochs 90 --cores big\n"
      "  millrace estimate alexnet --data photos --epochs 90 --core-counts 1..4 --deadline 8h\n"
      "  millrace estimate alexnet-32 --data cifar-10 --epochs 5 --batch 16,64,256 --json\n"
      "  millrace estimate resnet18 --data photos --epochs 90 --board rk3588 --core-counts 1..8");
  verb.runs([flags](const SettingLayers& layers, const Presentation& presentation) {
    const EstimateCommand command = command_of(*flags, layers);  // before the module is loaded
    return torch_verbs().estimate(command, presentation);
  });
}

}  // namespace millrace::cli
