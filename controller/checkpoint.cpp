#include "controller/checkpoint.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "controller/checkpoint_metadata.hpp"
#include "framework/base/hash.hpp"
#include "framework/base/safetensors_beginning.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTag = "checkpoint";
constexpr const char* kPrefix = "step-";
constexpr const char* kSuffix = ".safetensors";
constexpr const char* kAside = ".unread";
constexpr std::int64_t kPartBytes = 1 << 20;  // hashed while the caches have it

void add_number(Hash64& hash, std::int64_t number) { hash.add(&number, sizeof number); }

void add_text(Hash64& hash, const std::string& text) {
  add_number(hash, static_cast<std::int64_t>(text.size()));
  hash.add(text);
}

void add_metadata(Hash64& hash, const std::map<std::string, std::string>& metadata) {
  for (const auto& [key, value] : metadata) {
    if (key == kChecksumKey) continue;
    add_text(hash, key);
    add_text(hash, value);
  }
}

void add_header(Hash64& hash, const std::string& name, const std::string& dtype,
                const std::vector<std::int64_t>& shape) {
  add_text(hash, name);
  add_text(hash, dtype);
  add_number(hash, static_cast<std::int64_t>(shape.size()));
  for (const std::int64_t dimension : shape) add_number(hash, dimension);
}

std::string text_of(const Hash64& hash) { return fmt::format("{:016x}", hash.value()); }

std::string checksum_of(const SafetensorsFile& file) {
  Hash64 hash;
  add_metadata(hash, file.metadata());
  std::vector<char> buffer;
  for (const auto& entry : file.entries()) {
    buffer.resize(
        std::max(buffer.size(), static_cast<std::size_t>(std::min(kPartBytes, entry.bytes))));
    add_header(hash, entry.name, entry.dtype, entry.shape);
    for (std::int64_t at = 0; at < entry.bytes; at += kPartBytes) {
      const std::int64_t bytes = std::min(kPartBytes, entry.bytes - at);
      file.read_part(entry, at, bytes, buffer.data());
      hash.add(buffer.data(), static_cast<std::size_t>(bytes));
    }
  }
  return text_of(hash);
}

void check_checksum(const SafetensorsFile& file, const fs::path& path) {
  const auto written = file.metadata().find(kChecksumKey);
  if (written == file.metadata().end()) {
    throw ConfigError(kTag,
                      fmt::format("{} has no checksum: it is no checkpoint of a training (for "
                                  "weights alone use --weights)",
                                  path.string()));
  }
  const std::string found = checksum_of(file);
  if (found != written->second) {
    throw ConfigError(kTag, fmt::format("{} has the checksum {}, {} was written: it was damaged; "
                                        "take another checkpoint",
                                        path.string(), found, written->second));
  }
}

void check_tensor(const SessionTensor& wanted, const SafetensorsFile& file) {
  const auto* found = file.find(wanted.view.name);
  if (found == nullptr) {
    throw ConfigError(kTag,
                      fmt::format("the checkpoint has no {}: it was written by a training with "
                                  "another model or optimizer",
                                  wanted.view.name));
  }
  if (found->shape != wanted.view.shape || found->dtype != wanted.view.dtype) {
    throw ConfigError(
        kTag, fmt::format("{} is {} [{}] in the checkpoint, {} [{}] is needed: continue with the "
                          "model and the classes that it was trained with",
                          wanted.view.name, found->dtype, fmt::join(found->shape, ", "),
                          wanted.view.dtype, fmt::join(wanted.view.shape, ", ")));
  }
}

std::optional<std::int64_t> step_of(const fs::path& file) {
  const std::string name = file.filename().string();
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const char* begin = name.data() + std::string_view(kPrefix).size();
  const char* end = name.data() + name.size() - std::string_view(kSuffix).size();
  std::int64_t step = 0;
  const auto [rest, error] = std::from_chars(begin, end, step);
  return error == std::errc{} && rest == end && step >= 0 ? std::optional(step) : std::nullopt;
}

/// A text has many characters.
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 12;
  const std::size_t shown = std::min(kShown, names.size());
  const std::string more =
      shown < names.size() ? fmt::format(" and {} more", names.size() - shown) : "";
  return fmt::format("{}{}", fmt::join(names.begin(), names.begin() + std::ptrdiff_t(shown), ", "),
                     more);
}

/// A part is hashed and written while the caches have it: the weights are read once.
void copy_data(AtomicFile& file, Hash64& hash, const TensorView& tensor) {
  add_header(hash, tensor.name, tensor.dtype, tensor.shape);
  const char* data = static_cast<const char*>(tensor.data);
  for (std::int64_t at = 0; at < tensor.bytes; at += kPartBytes) {
    const auto bytes = static_cast<std::size_t>(std::min(kPartBytes, tensor.bytes - at));
    hash.add(data + at, bytes);
    file.write(data + at, bytes);
  }
}

std::unique_ptr<AtomicFile> copy_checkpoint(const fs::path& path, const CheckpointInfo& info,
                                            const std::vector<SessionTensor>& state) {
  std::vector<TensorView> tensors;
  for (const SessionTensor& tensor : state) tensors.push_back(tensor.view);
  sort_for_file(tensors);  // by name: all are of float32
  auto metadata = to_metadata(info);
  metadata[kChecksumKey] = text_of(Hash64());  // as long as the right one, which comes last
  const std::string beginning = safetensors_beginning(tensors, metadata);
  auto file = std::make_unique<AtomicFile>(path, kTag);
  file->write(beginning.data(), beginning.size());
  Hash64 hash;
  add_metadata(hash, metadata);
  for (const TensorView& tensor : tensors) copy_data(*file, hash, tensor);
  metadata[kChecksumKey] = text_of(hash);
  file->rewrite_beginning(safetensors_beginning(tensors, metadata));
  return file;
}

void warn_of_other_data(const TrainingFacts& before, const TrainingFacts& now) {
  if (before.samples == 0 || now.samples == 0) return;
  const char* way_on = "the training goes on with what there is, to another result";
  if (before.samples != now.samples)
    log_warning("data", fmt::format("the set had {} samples to train on when the checkpoint was "
                                    "written, it has {} now: {}",
                                    before.samples, now.samples, way_on));
  else if (before.mean != now.mean || before.deviation != now.deviation)
    log_warning("data",
                fmt::format("the set's images are not those of when the checkpoint was "
                            "written (mean {:.6g}, deviation {:.6g} then; {:.6g} and {:.6g} "
                            "now): {}",
                            fmt::join(before.mean, ", "), fmt::join(before.deviation, ", "),
                            fmt::join(now.mean, ", "), fmt::join(now.deviation, ", "), way_on));
}

}  // namespace

void write_checkpoint(const fs::path& path, const CheckpointInfo& info,
                      const std::vector<SessionTensor>& state) {
  copy_checkpoint(path, info, state)->commit();
}

Checkpoint open_checkpoint(const fs::path& path) {
  auto file = SafetensorsFile::open(path);
  check_checksum(file, path);
  auto info = info_from_metadata(file.metadata(), path.string());
  return {std::move(info), std::move(file)};
}

void restore_checkpoint(const Checkpoint& checkpoint, const TrainingFacts& training,
                        const std::vector<SessionTensor>& state) {
  const TrainingFacts& own = checkpoint.info.facts;
  if (own.model != training.model) {
    throw ConfigError(kTag, fmt::format("the checkpoint is of {}, this training is of {}: name the "
                                        "same model, or another folder",
                                        own.model, training.model));
  }
  if (own.classes != training.classes) {
    throw ConfigError(kTag, fmt::format("the checkpoint knows the classes {}, the data set has {}: "
                                        "continue with the data that it was trained on",
                                        some_of(own.classes), some_of(training.classes)));
  }
  for (const SessionTensor& tensor : state) check_tensor(tensor, checkpoint.file);
  if (state.size() != checkpoint.file.entries().size()) {
    throw ConfigError(kTag, fmt::format("the checkpoint holds {} tensors, this training has {}: it "
                                        "was written with another model or optimizer",
                                        checkpoint.file.entries().size(), state.size()));
  }
  warn_of_other_data(own, training);
  for (const SessionTensor& tensor : state) {
    checkpoint.file.read(*checkpoint.file.find(tensor.view.name), tensor.destination);
  }
}

CheckpointFolder::CheckpointFolder(fs::path folder, int keep)
    : folder_(std::move(folder)), keep_(static_cast<std::size_t>(keep)) {
  MILLRACE_CHECK(keep >= 1, kTag, "at least one checkpoint is kept");
}

void CheckpointFolder::prepare() const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    throw ResourceError(kTag, fmt::format("cannot make {}: {}: choose a folder that can be written",
                                          folder_.string(), error.message()));
  }
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() == ".tmp") fs::remove(entry.path(), error);
  }
}

void CheckpointFolder::save(const CheckpointInfo& info,
                            const std::vector<SessionTensor>& state) const {
  complete(*copy(info, state));
}

std::unique_ptr<AtomicFile> CheckpointFolder::copy(const CheckpointInfo& info,
                                                   const std::vector<SessionTensor>& state) const {
  return copy_checkpoint(path_of(info.step), info, state);
}

void CheckpointFolder::complete(AtomicFile& file) const {
  file.commit();
  remove_old();
}

void CheckpointFolder::remove_old() const {
  const auto all = steps();
  if (all.size() <= keep_) return;
  const std::int64_t best = steps_by_accuracy().front();
  std::error_code error;
  for (std::size_t i = 0; i + keep_ < all.size(); ++i) {
    if (all[i] != best) fs::remove(path_of(all[i]), error);
  }
}

std::vector<std::int64_t> CheckpointFolder::steps() const {
  std::vector<std::int64_t> result;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (const auto step = step_of(entry.path())) result.push_back(*step);
  }
  std::sort(result.begin(), result.end());
  return result;
}

fs::path CheckpointFolder::path_of(std::int64_t step) const {
  return folder_ / fmt::format("{}{:06}{}", kPrefix, step, kSuffix);
}

std::vector<std::int64_t> CheckpointFolder::steps_by_accuracy() const {
  std::vector<std::pair<double, std::int64_t>> scored;
  for (const std::int64_t step : steps()) {
    double accuracy = -1;
    try {
      const auto file = SafetensorsFile::open(path_of(step));
      accuracy = info_from_metadata(file.metadata(), "").accuracy.value_or(-1);
    } catch (const ConfigError&) {
      accuracy = -2;  // a damaged file comes after those that were not evaluated
    }
    scored.emplace_back(accuracy, step);
  }
  std::sort(scored.rbegin(), scored.rend());
  std::vector<std::int64_t> result;
  for (const auto& [accuracy, step] : scored) result.push_back(step);
  return result;
}

std::optional<Checkpoint> CheckpointFolder::first_whole(
    const std::vector<std::int64_t>& steps) const {
  for (const std::int64_t step : steps) {
    try {
      return open_checkpoint(path_of(step));
    } catch (const ConfigError& error) {
      log_warning(kTag, fmt::format("step {} is passed over: {}", step, error.what()));
    }
  }
  return std::nullopt;
}

void CheckpointFolder::set_aside_after(std::int64_t step) const {
  std::error_code error;
  for (const std::int64_t later : steps()) {
    if (later <= step) continue;
    const fs::path path = path_of(later);
    fs::rename(path, fs::path(path) += kAside, error);
    if (!error)
      log_warning(kTag,
                  fmt::format("step {} is kept as {}{}", later, path.filename().string(), kAside));
  }
}

std::optional<Checkpoint> CheckpointFolder::open_last() const {
  auto newest_first = steps();
  std::reverse(newest_first.begin(), newest_first.end());
  return first_whole(newest_first);
}

Checkpoint CheckpointFolder::open(const std::string& which) const {
  std::optional<Checkpoint> found;
  if (which == "last") {
    found = open_last();
  } else if (which == "best") {
    found = first_whole(steps_by_accuracy());
  } else {
    const auto all = steps();
    const auto step = step_of(fmt::format("{}{}{}", kPrefix, which, kSuffix));
    if (step && std::binary_search(all.begin(), all.end(), *step)) {
      return open_checkpoint(path_of(*step));
    }
  }
  if (found) return std::move(*found);
  throw ConfigError(
      kTag, fmt::format(
                "{} has no checkpoint \"{}\": there {}: take best, last or one "
                "of these steps",
                folder_.string(), which,
                steps().empty() ? "is none yet" : fmt::format("are {}", fmt::join(steps(), ", "))));
}

}  // namespace millrace
