#include <fmt/format.h>

#include <algorithm>

#include "controller/cli/bench/bench_folder.hpp"
#include "controller/cli/bench/entries.hpp"
#include "controller/cli/bench/estimates.hpp"
#include "controller/cli/bench/kills.hpp"
#include "controller/cli/bench/soak.hpp"
#include "controller/cli/output.hpp"
#include "controller/cli/planning.hpp"
#include "controller/cli/verbs.hpp"
#include "framework/base/closest.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/topology.hpp"
#include "millrace/units.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;

struct BenchCommand {
  RunConfig config;
  bool names_model = false;
  int rounds = 5;
  std::optional<int> steps;
  std::vector<std::string> only;
  bool layers = false, dispatch = false, estimates = false;
  std::optional<int> kills;
  std::string soak;  ///< a time; "": none
};

constexpr int kKilledSteps = 200;
constexpr double kEstimatedSeconds = 20;

std::vector<std::string> wanted_entries(const std::vector<std::string>& only) {
  const auto& known = bench_entry_names();
  if (only.empty()) return known;
  for (const std::string& name : only) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw ConfigError("bench", "unknown entry '" + name + "'" + suggestion(name, known));
    }
  }
  std::vector<std::string> wanted;
  std::copy_if(known.begin(), known.end(), std::back_inserter(wanted), [&](const auto& name) {
    return std::find(only.begin(), only.end(), name) != only.end();
  });
  return wanted;
}

bool is_planned(const std::string& entry) {
  return entry == "plan" || entry == "even data parallel";
}

Profile measured_costs(const BenchSetup& setup) {
  const auto costs = setup.folder / "costs.json";
  return profile_from_json(read_file(costs, "bench"), costs.string());
}

Topology measured_topology(const BenchSetup& setup) {
  return topology_from_json(read_file(setup.folder / "topology.json", "bench"));
}

/// Searches the plan once, so that every round trains through the same one. Returns why the even
/// plan is not possible, or "".
std::string prepare_plans(const BenchSetup& setup, const RunConfig& config) {
  const Profile profile = measured_costs(setup);
  const Topology topology = measured_topology(setup);
  PlanRequest request = plan_request(config);
  request.cpus = cpus_by_kind(topology);
  const Plan plan = make_plan(profile, config, request);
  write_file_atomically(plan_file(setup, "plan"), to_json(plan), "bench");
  try {
    write_file_atomically(plan_file(setup, "even data parallel"),
                          to_json(even_plan(profile, request)), "bench");
  } catch (const ConfigError& impossible) {
    return impossible.what();
  }
  return "";
}

bool any(const std::vector<std::string>& entries, bool (*matches)(const std::string&)) {
  return std::any_of(entries.begin(), entries.end(), matches);
}

/// Model, batch, cores.
BenchSetup setup_of(const RunConfig& config, const fs::path& folder) {
  require_precision(config);
  const Topology machine = select_cores(discover_topology({.list_gpus = false}), config.cores);
  BenchSetup setup;
  setup.model = config.model;
  setup.batch = config.batch;
  setup.algorithms = config.algorithms;
  setup.precision = config.precision.value_or(Precision::fp32);
  setup.classes = classes_of(config);
  setup.cpus = machine.cpus();
  setup.first_cpu = machine.kinds.front().cpus.front();
  setup.folder = folder;
  return setup;
}

/// What does not change from round to round: cores, length, plans, layouts.
BenchSetup prepare(const BenchCommand& command, const std::vector<std::string>& entries,
                   const fs::path& folder, double& flops_per_image) {
  const RunConfig& config = command.config;
  BenchSetup setup = setup_of(config, folder);
  const bool planned = any(entries, is_planned);
  flops_per_image = prepare_costs(setup, planned).flops_per_image;
  setup.steps =
      command.steps.value_or(default_steps(flops_per_image * static_cast<double>(setup.batch)));
  setup.warmup = std::clamp(setup.steps / 4, 1, 20);
  if (planned) setup.no_even_plan = prepare_plans(setup, config);
  if (any(entries, [](const std::string& name) { return name == "one core"; })) {
    setup.layout_one_core = faster_layout(setup, true);
  }
  if (any(entries, [](const std::string& name) { return name.starts_with("libtorch"); })) {
    setup.layout_all_cores = faster_layout(setup, false);
  }
  return setup;
}

BenchEntry empty_entry(const BenchSetup& setup, const std::string& name) {
  BenchEntry entry{name, "", {}};
  if (name == "one core") entry.note = setup.layout_one_core;
  if (name.starts_with("libtorch")) entry.note = setup.layout_all_cores;
  return entry;
}

/// Why the entry cannot be measured, or "".
std::string obstacle(const BenchSetup& setup, const std::string& entry) {
  if (entry == "even data parallel") return setup.no_even_plan;
  if (entry != "libtorch tuned" || find_tuned_libraries()) return "";
  return "needs the packages libtcmalloc-minimal4 and libopenblas0-openmp";
}

MatrixRate mean(const MatrixRate& a, const MatrixRate& b) {
  return {(a.one_core + b.one_core) / 2, (a.all_cores + b.all_cores) / 2};
}

/// The machine's speed changes within a round: the last entry, the plan where it is asked for, is
/// compared with the matrix rate right before and right behind it.
void measure_round(const BenchSetup& setup, int round, BenchReport& report) {
  for (BenchEntry& entry : report.entries) {
    if (&entry == &report.entries.back()) report.matrix_rates.push_back(measure_matrix_rate(setup));
    if (const std::string why = obstacle(setup, entry.name); !why.empty()) {
      entry.note = why;
      continue;
    }
    entry.rounds.push_back(measure_entry(setup, entry.name));
    log_info("bench", fmt::format("round {}: {} {:.1f} img/s", round, entry.name,
                                  entry.rounds.back().images_per_second));
  }
  MatrixRate& rate = report.matrix_rates.back();
  rate = mean(rate, measure_matrix_rate(setup));
}

template <typename Report>
int present(const Report& report, const Presentation& presentation) {
  print(presentation.json ? to_json(report) : to_table(report));
  return 0;
}

int run_layers(const RunConfig& config, const Presentation& presentation) {
  const BenchFolder folder;
  BenchSetup setup = setup_of(config, folder.path());
  const ModelWork work = prepare_costs(setup, true);
  const Profile profile = measured_costs(setup);
  const Topology machine = measured_topology(setup);
  const CoreKind& kind = machine.kinds.front();
  setup.cpus = device_cpus(machine, kind);  // layers are measured on teams of one kind
  setup.first_cpu = setup.cpus.front();
  LayersReport report{setup.model, setup.batch, kind.name, setup.cpus, measure_matrix_rate(setup),
                      {}};
  report.passes = pass_figures(profile, work.layers, kind.name, static_cast<int>(setup.cpus.size()),
                               setup.batch);
  return present(report, presentation);
}

/// Of the model that is named, else of small and large ones.
EstimatesReport measured_estimates(const BenchCommand& command, const fs::path& folder) {
  std::vector<std::string> models = {command.config.model};
  if (!command.names_model) models = {"lenet5", "mlp", "alexnet-32", "alexnet"};
  EstimatesReport report;
  for (const std::string& model : models) {
    RunConfig config = command.config;
    config.model = model;
    const BenchSetup setup = setup_of(config, folder);
    measure_estimates(Trainings(config, folder), config, {setup.cpus, setup.first_cpu},
                      kEstimatedSeconds, report);
  }
  if (summary_of(report).trained == 0)
    throw ConfigError("bench", "none of the trainings was possible, see above");
  return report;
}

/// What is said of whole trainings instead of the entries; empty where none is asked for.
std::optional<int> run_trainings(const BenchCommand& command, const Presentation& presentation) {
  if (!command.kills && command.soak.empty() && !command.estimates) return std::nullopt;
  const RunConfig& config = command.config;
  const BenchFolder folder;
  const Trainings trainings(config, folder.path());
  if (command.kills) {
    const KillsReport report =
        measure_kills(trainings, config, command.steps.value_or(kKilledSteps), *command.kills);
    present(report, presentation);
    return static_cast<int>(report.identical == report.tried ? ExitCode::done : ExitCode::internal);
  }
  if (!command.soak.empty())
    return present(measure_soak(trainings, config, parse_duration_ns(command.soak)), presentation);
  return present(measured_estimates(command, folder.path()), presentation);
}

int run_bench(const BenchCommand& command, const Presentation& presentation) {
  if (const auto code = run_trainings(command, presentation)) return *code;
  if (command.layers) return run_layers(command.config, presentation);
  if (command.dispatch)
    return present(measure_dispatch(setup_of(command.config, "")), presentation);
  const auto entries = wanted_entries(command.only);
  const BenchFolder folder;
  double flops_per_image = 0;
  const BenchSetup setup = prepare(command, entries, folder.path(), flops_per_image);
  BenchReport report{setup.model, setup.batch, setup.cpus, flops_per_image, {}, {}};
  for (const std::string& name : entries) report.entries.push_back(empty_entry(setup, name));
  for (int round = 1; round <= command.rounds; ++round) measure_round(setup, round, report);
  return present(report, presentation);
}

const char* const kExamples =
    "  millrace bench\n"
    "  millrace bench alexnet-32 --batch 128 --rounds 3 --json\n"
    "  millrace bench alexnet --only plan,libtorch --plan plan.json\n"
    "  millrace bench alexnet --layers\n"
    "  millrace bench --dispatch --cores 0-1\n"
    "  millrace bench lenet5 --kills 200\n\n"
    "Entries, each a process of its own, in turn in every round; the same batch, steps and SGD, "
    "on\n"
    "random images of as many classes as the model has, or the set of --data:\n"
    "  one core            plain LibTorch on one pinned core, one thread in every library, in the\n"
    "                      faster of its layouts (NCHW, NHWC)\n"
    "  libtorch            plain LibTorch on all cores, in the faster of its layouts\n"
    "  libtorch tuned      the same with tcmalloc preloaded and OpenBLAS's OpenMP build\n"
    "  even data parallel  Millrace, one replica on each core, equal shares\n"
    "  plan                Millrace through the searched plan, or that of --plan";

/// Flags that measure something else than the entries: one at a time, without the entries' flags.
void add_other_subjects(CLI::App& app, BenchCommand& command,
                        const std::vector<CLI::Option*>& of_entries, CLI::Option* steps) {
  std::vector<CLI::Option*> subjects = {
      app.add_flag("--layers", command.layers,
                   "instead: every layer and pass beside the matrix rate, with its bytes"),
      app.add_flag(
          "--dispatch", command.dispatch,
          "instead: what the executor takes for tasks that do nothing, whatever the model"),
      app.add_option("--kills", command.kills,
                     "instead: so many trainings of --steps steps (200), each killed at a random "
                     "moment and resumed: are the weights those of one that was not?")
          ->check(CLI::Range(1, 100'000)),
      app.add_option("--soak", command.soak,
                     "instead: one training of this time, such as 10m: do its memory, threads or "
                     "descriptors grow?")
          ->type_name("TIME"),
      app.add_flag("--estimates", command.estimates,
                   "instead: trainings of 20 s under ten plans, foretold and measured, of four "
                   "models (half an hour) or of the one that is named")};
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    subjects[i]->disable_flag_override();  // no --layers=no
    for (CLI::Option* option : of_entries) subjects[i]->excludes(option);
    for (std::size_t j = 0; j < i; ++j) subjects[i]->excludes(subjects[j]);
    if (subjects[i]->get_name() != "--kills") subjects[i]->excludes(steps);
  }
}

}  // namespace

void add_bench(CLI::App& program, Action& action) {
  const auto command = std::make_shared<BenchCommand>();
  Verb verb(program, action, "bench", "measures this machine: plain LibTorch against the plan");
  verb.model().settings({SettingGroup::shared, SettingGroup::data});
  auto* const rounds =
      verb.app().add_option("--rounds", command->rounds, "rounds; ratios are taken round by round");
  rounds->capture_default_str()->check(CLI::Range(1, 10'000));
  auto* const steps = verb.app().add_option(
      "--steps", command->steps, "timed steps of an entry (default: by the model's size)");
  steps->check(CLI::Range(1, 1'000'000));
  auto* const only = verb.app().add_option("--only", command->only, "these entries alone");
  only->delimiter(',')->type_name("ENTRY,...")->allow_extra_args(false);
  add_other_subjects(verb.app(), *command, {only, rounds}, steps);
  verb.examples(kExamples);
  verb.runs([command](const SettingLayers& layers, const Presentation& presentation) {
    command->names_model = !resolved(layers).model.empty();
    RunConfig base;
    base.model = "alexnet";
    command->config = resolved_with_model(layers, base);
    if (is_model_file(command->config.model)) {
      throw ConfigError("usage", "bench measures networks of the zoo, " + command->config.model +
                                     " is a file: name one that `millrace models` lists");
    }
    return run_bench(*command, presentation);
  });
}

}  // namespace millrace::cli
