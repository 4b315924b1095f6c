#include "controller/cli/settings.hpp"

#include <fmt/format.h>

#include <ctime>
#include <limits>

#include "controller/cli/setting_rows.hpp"
#include "controller/deadline.hpp"
#include "framework/base/closest.hpp"
#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"
#include "millrace/topology.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

using namespace setting_rows;

#define PLACE(member) \
  [](auto& config) -> auto& { return config.member; }

void set_gpu(RunConfig& config, const string& text) {
  if (text != "auto" && text != "none") {
    parse_number<Int>("machine.gpu", text, 0, kLargest, "none, auto or a number of GPUs");
    if (text != "0") {
      throw ConfigError("config",
                        fmt::format("machine.gpu = {}: this version trains on cores only; "
                                    "use --gpu none or leave the flag out",
                                    text));
    }
  }
  config.gpu = text == "0" ? "none" : text;
}

void set_precision(RunConfig& config, const string& text) {
  if (text != "fp32" && text != "bf16" && text != "auto")
    refuse("train.precision", text, "fp32, bf16 or auto");
  const bool bf16 = text == "bf16" || (text == "auto" && computes_bf16());
  config.precision = bf16 ? Precision::bf16 : Precision::fp32;
}

optional<string> precision_text(const RunConfig& config) {
  if (!config.precision) return std::nullopt;
  return *config.precision == Precision::bf16 ? "bf16" : "fp32";
}

void set_deadline(RunConfig& config, const string& text) {
  config.deadline.reset();
  if (text != "none") config.deadline = parse_deadline(text, std::time(nullptr));
}

void set_energy(RunConfig& config, const string& text) {
  config.energy_joules.reset();
  if (text == "none") return;
  config.energy_joules = parse_energy_joules(text);
  if (*config.energy_joules <= 0) refuse("train.energy_budget", text, "more than 0, or none");
}

optional<string> energy_text(const RunConfig& config) {
  return config.energy_joules ? fmt::format("{}J", *config.energy_joules) : optional<string>();
}

void set_max_temp(RunConfig& config, const string& text) {
  config.max_celsius.reset();
  if (text != "none")
    config.max_celsius = parse_number<double>("train.max_temp", text, 1, 150,
                                              "degrees Celsius from 1 to 150, or none");
}

optional<string> max_temp_text(const RunConfig& config) {
  return config.max_celsius ? fmt::format("{}", *config.max_celsius) : optional<string>();
}

void set_http(RunConfig& config, const string& text) {
  config.http_port.reset();
  if (text != "none")
    config.http_port =
        parse_number<Int>("http.port", text, 0, 65'535, "a port from 0 to 65535, or none");
}

optional<string> http_text(const RunConfig& config) {
  return config.http_port ? optional<string>(std::to_string(*config.http_port)) : std::nullopt;
}

std::vector<Setting> machine_settings() {
  const auto group = SettingGroup::shared;
  return {
      text_row({"machine.cores", "--cores", "all|big|little|LIST",
                "cores to use: a kind, or CPU numbers such as 0,2-3", group},
               PLACE(cores)),
      make({"machine.gpu", "--gpu", "none|auto",
            "whether plans for costs of GPUs use them; nothing trains on GPUs yet", group},
           true, set_gpu, [](const RunConfig& config) -> optional<string> { return config.gpu; }),
      quantity_row(
          {"machine.memory", "--memory", "BYTES",
           "memory that a plan may take, such as 512M or 1.5GiB", group},
          PLACE(memory_bytes), [](const string& t) { return parse_bytes(t); }, "")};
}

std::vector<Setting> plan_settings() {
  const auto group = SettingGroup::shared;
  std::vector<string> schedules = schedule_names();
  schedules.insert(schedules.begin(), "auto");
  return {
      integer_row({"plan.batch", "--batch", "N|auto", "samples of a step", group}, PLACE(batch), 1,
                  kLargestBatch),
      integer_row(
          {"plan.micro_batch", "--micro-batch", "N|auto", "samples of a micro-batch", group},
          PLACE(micro_batch), 1, kLargestBatch),
      text_row({"plan.schedule", "--schedule", "auto|fill-drain|1f1b|zero-bubble|interleaved",
                "order of the micro-batches", group},
               PLACE(schedule), schedules),
      switch_row({"plan.any_cut", "--any-cut", "",
                  "cores may run several stages each, which need not follow each other (schedule "
                  "interleaved); such plans are seldom proved optimal",
                  group},
                 PLACE(any_cut)),
      integer_row({"plan.max_stages", "--max-stages", "N", "most stages", group}, PLACE(max_stages),
                  1, 1000),
      integer_row({"plan.max_replicas", "--max-replicas", "N", "most replicas of a stage", group},
                  PLACE(max_replicas), 1, 1000),
      choice_row({"plan.recompute", "--recompute", "auto|none|all",
                  "compute activations again instead of keeping them", group},
                 PLACE(recompute),
                 {{"auto", RecomputePolicy::automatic},
                  {"none", RecomputePolicy::none},
                  {"all", RecomputePolicy::all}}),
      choice_row(
          {"plan.batch_norm", "--batch-norm", "batch|micro-batch",
           "statistics of batch normalisation: of the whole batch, as plain training has "
           "them (no pipeline then), or of each micro-batch",
           group},
          PLACE(statistics),
          {{"batch", BatchStatistics::batch}, {"micro-batch", BatchStatistics::micro_batch}}),
      choice_row(
          {"plan.algorithms", "--algorithms", "all|direct",
           "convolutions: all, or only those that multiply every product of their sums", group},
          PLACE(algorithms), {{"all", Algorithms::all}, {"direct", Algorithms::direct}}),
      choice_row(
          {"plan.objective", "--objective", "makespan|period",
           "what is made small: the time of a step, or the steady time of a micro-batch", group},
          PLACE(objective), {{"makespan", Objective::makespan}, {"period", Objective::period}}),
      quantity_row(
          {"plan.search_time", "--search-time", "TIME",
           "end the search after this time, such as 30s, with the best plan so far", group},
          PLACE(search_ns), [](const string& t) { return parse_duration_ns(t); }, "ns"),
      text_row({"plan.file", "--plan", "FILE", "use this plan instead of searching one", group},
               PLACE(plan_file)),
      integer_row(
          {"plan.refine", "--refine", "N",
           "try the N best plans on this machine and take the fastest", SettingGroup::planning},
          PLACE(refine), 1, 16),
      text_row({"plan.costs", "--costs", "FILE",
                "with --plan: the costs that it was made for (default: measured)",
                SettingGroup::training},
               PLACE(costs_file))};
}

std::vector<Setting> training_settings() {
  const auto shared = SettingGroup::shared, data = SettingGroup::data;
  const auto training = SettingGroup::training, ending = SettingGroup::ending;
  return {
      text_row({"data.folder", "--data", "DIR|FILE",
                "data set (training: by default the generated set)", data},
               PLACE(data)),
      switch_row({"data.skip_bad_images", "--skip-bad-images", "",
                  "leave out images that cannot be read instead of stopping", data},
                 PLACE(skip_bad_images)),
      integer_row({"train.epochs", "--epochs", "N", "end after N passes over the data", ending},
                  PLACE(epochs), 1),
      integer_row({"train.steps", "--steps", "N", "end after N steps", ending}, PLACE(steps), 1),
      quantity_row(
          {"train.time", "--time", "TIME", "end after this time, such as 10m or 2h30m", ending},
          PLACE(time_ns), [](const string& t) { return parse_duration_ns(t); }, "ns"),
      make({"train.deadline", "--deadline", "TIME|none",
            "be done by then: 2h from now, 18:30 or 2026-12-01T06:00; with --epochs or --steps the "
            "fewest cores are taken that are enough",
            ending},
           true, set_deadline,
           [](const RunConfig& config) -> optional<string> {
             return config.deadline ? deadline_in_utc(*config.deadline) : optional<string>();
           }),
      integer_row(
          {"train.patience", "--patience", "N",
           "end early when N evaluations in a row are no better than the best; 0: never", ending},
          PLACE(patience), 0),
      make({"train.energy_budget", "--energy-budget", "ENERGY|none",
            "end with a checkpoint when the machine has used so much for the run, such as 500J, "
            "20kJ or 1.5Wh, as its sensors say",
            ending},
           true, set_energy, energy_text),
      make({"train.max_temp", "--max-temp", "CELSIUS|none",
            "end with a checkpoint when a sensor of the machine shows so many degrees", ending},
           true, set_max_temp, max_temp_text),
      choice_row({"train.replan", "--replan", "auto|never",
                  "auto: another plan is taken where cores become slower or faster; with --plan it "
                  "is never",
                  ending},
                 PLACE(replan), {{"auto", true}, {"never", false}}),
      make({"train.precision", "--precision", "fp32|bf16|auto",
            "bf16: products of bfloat16 too, where they are faster; auto: where the CPU has them",
            shared},
           true, set_precision, precision_text),
      integer_row({"train.seed", "--seed", "N", "seed of weights, order and masks", shared},
                  PLACE(seed), 0, std::numeric_limits<Int>::max()),
      text_row({"train.weights", "--weights", "FILE",
                "start from these weights (.safetensors, or a state dict of torch.save)", training},
               PLACE(weights)),
      switch_row({"train.new_head", "--new-head", "",
                  "the last layer starts afresh, though --weights or the file of the model has one",
                  training},
                 PLACE(new_head)),
      integer_row({"train.evaluate_every_epochs", "", "N",
                   "evaluate after so many epochs; 0: at the end", training},
                  PLACE(evaluate_every_epochs), 0),
      integer_row({"checkpoint.every_steps", "", "N",
                   "steps between checkpoints; 0: at epochs' ends", training},
                  PLACE(checkpoint_every_steps), 0),
      integer_row(
          {"checkpoint.keep", "", "N", "checkpoints that are kept besides the best", training},
          PLACE(checkpoint_keep), 1, 10'000),
      switch_row({"tensorboard.write", "--tensorboard", "",
                  "write TensorBoard's event files into the run's folder, tensorboard/",
                  SettingGroup::watching},
                 PLACE(tensorboard)),
      make({"http.port", "--http", "PORT|none",
            "show the run on http://127.0.0.1:PORT/ while it goes on; 0: any port that is free",
            SettingGroup::watching},
           false, set_http, http_text)};
}

std::vector<Setting> optimizer_settings() {
  const auto group = SettingGroup::training;
  return {choice_row({"optimizer.kind", "--optimizer", "sgd|adamw", "update rule", group},
                     PLACE(optimizer.kind),
                     {{"sgd", OptimizerKind::sgd}, {"adamw", OptimizerKind::adamw}}),
          real_row({"optimizer.learning_rate", "--lr", "X", "learning rate", group},
                   PLACE(optimizer.learning_rate), 0),
          real_row({"optimizer.momentum", "", "X", "momentum (sgd)", group},
                   PLACE(optimizer.momentum), 0, 1),
          switch_row({"optimizer.nesterov", "", "", "Nesterov momentum (sgd)", group},
                     PLACE(optimizer.nesterov)),
          real_row({"optimizer.weight_decay", "", "X", "weight decay", group},
                   PLACE(optimizer.weight_decay), 0),
          real_row({"optimizer.beta1", "", "X", "first moment (adamw)", group},
                   PLACE(optimizer.beta1), 0, 1),
          real_row({"optimizer.beta2", "", "X", "second moment (adamw)", group},
                   PLACE(optimizer.beta2), 0, 1),
          real_row({"optimizer.epsilon", "", "X", "denominator's floor (adamw)", group},
                   PLACE(optimizer.epsilon), 0),
          real_row({"optimizer.clip_norm", "", "X", "largest global gradient norm; 0: off", group},
                   PLACE(optimizer.clip_norm), 0),
          text_row({"learning_rate.schedule", "--schedule-lr", "constant|step|cosine",
                    "how the learning rate falls", group},
                   PLACE(learning_rate.name), {"constant", "step", "cosine"}),
          integer_row({"learning_rate.warmup_steps", "", "N", "steps of linear warm-up", group},
                      PLACE(learning_rate.warmup_steps), 0),
          integer_row({"learning_rate.step_size", "", "N", "steps between falls (step)", group},
                      PLACE(learning_rate.step_size), 1),
          real_row({"learning_rate.gamma", "", "X", "factor of a fall (step)", group},
                   PLACE(learning_rate.gamma), 0, 1)};
}

#undef PLACE

std::vector<Setting> make_settings() {
  std::vector<Setting> all = {text_row(
      {"model", "", "NAME", "network", SettingGroup::shared},
      [](auto& config) -> auto& { return config.model; })};
  for (auto part :
       {machine_settings(), plan_settings(), training_settings(), optimizer_settings()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace

const std::vector<Setting>& settings() {
  static const std::vector<Setting> table = make_settings();
  return table;
}

const Setting& find_setting(const std::string& key, const std::string& origin) {
  std::vector<std::string> keys;
  for (const Setting& setting : settings()) {
    if (setting.key == key) return setting;
    keys.push_back(setting.key);
  }
  throw ConfigError("config",
                    fmt::format("{}: unknown key '{}'{}", origin, key, suggestion(key, keys)));
}

}  // namespace millrace::cli
