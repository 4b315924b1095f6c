#include "controller/http/metrics_history.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

namespace millrace {
namespace {

/// What there is from `begin` on, up to `bytes`.
std::string part_of(const std::filesystem::path& file, std::uintmax_t begin, std::size_t bytes) {
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  const auto from = static_cast<std::streamoff>(begin);
  const std::streamoff there = stream.tellg() - from;
  if (there <= 0) return "";
  std::string text(std::min(bytes, static_cast<std::size_t>(there)), '\0');
  stream.seekg(from);
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  return text;
}

/// Empty where there is no such file.
std::optional<ino_t> inode_of(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  return status.st_ino;
}

/// Every second, and the last.
template <typename Value>
void thin(std::vector<Value>& values) {
  std::size_t kept = 0;
  for (std::size_t i = (values.size() - 1) % 2; i < values.size(); i += 2)
    values[kept++] = values[i];
  values.resize(kept);
}

/// A list of numbers, to seven places: more than a screen shows.
template <typename Values, typename Get>
std::string column(const char* name, const Values& values, Get get) {
  std::string text;
  for (const auto& value : values)
    text += fmt::format("{}{:.7g}", text.empty() ? "" : ",", get(value));
  return fmt::format("\"{}\":[{}]", name, text);
}

}  // namespace

void MetricsHistory::Point::add(const Point& next) {
  const std::int64_t before = lines;
  const double sums[] = {loss_sum, samples, step_ns};
  *this = next;
  lines += before;
  loss_sum += sums[0];
  samples += sums[1];
  step_ns += sums[2];
}

void MetricsHistory::take_point(const Point& line) {
  if (!points_.empty() && points_.back().lines < lines_each_) {
    points_.back().add(line);
    return;
  }
  if (points_.size() == 2 * kPoints) {
    for (std::size_t i = 0; i < kPoints; ++i) {
      points_[i] = points_[2 * i];
      points_[i].add(points_[2 * i + 1]);
    }
    points_.resize(kPoints);
    lines_each_ *= 2;
  }
  points_.push_back(line);
}

void MetricsHistory::take_line(const std::string& line) {
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, false);
  if (!value.is_object()) return;
  const auto number = [](const nlohmann::json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
  };
  const auto step = static_cast<std::int64_t>(number(value, "step"));
  const nlohmann::json kind = value.value("kind", nlohmann::json());
  if (kind == "evaluation") {
    if (evaluations_.size() == 2 * kPoints) thin(evaluations_);
    evaluations_.push_back({step, number(value, "loss"), number(value, "accuracy")});
  } else if (kind == "plan") {
    if (plans_.size() == 2 * kPoints) thin(plans_);
    const nlohmann::json reason = value.value("reason", nlohmann::json());
    plans_.push_back({step, reason.is_string() ? reason.get<std::string>() : "",
                      number(value, "expected_step_ns")});
  } else if (kind == "step") {
    const nlohmann::json left = value.value("remaining", nlohmann::json::object());
    const double step_ns = number(value, "step_ns");
    take_point({1, step, number(value, "wall_ns"), number(value, "loss"),
                number(value, "images_per_second") * step_ns / 1e9, step_ns,
                number(left, "expected_ns"), number(left, "latest_ns")});
  }
}

void MetricsHistory::forget() {
  read_ = 0;
  lines_each_ = 1;
  points_.clear();
  evaluations_.clear();
  plans_.clear();
}

void MetricsHistory::read_on() {
  const std::optional<ino_t> inode = inode_of(file_);
  if (std::exchange(inode_, inode) != inode) forget();
  const std::string text = part_of(file_, read_, kReadBytes);
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    take_line(text.substr(begin, end - begin));
  read_ += begin;
  complete_ = text.size() < kReadBytes;
}

MetricsHistory::Answer MetricsHistory::answer(const std::string& rate_unit) {
  const std::lock_guard lock(mutex_);
  read_on();
  const auto points = fmt::format(
      "{},{},{},{},{},{}", column("step", points_, [](const Point& p) { return double(p.step); }),
      column("wall_ns", points_, [](const Point& p) { return p.wall_ns; }),
      column("loss", points_, [](const Point& p) { return p.loss_sum / double(p.lines); }),
      column("images_per_second", points_,
             [](const Point& p) { return p.step_ns > 0 ? p.samples * 1e9 / p.step_ns : 0; }),
      column("expected_ns", points_, [](const Point& p) { return p.expected_ns; }),
      column("latest_ns", points_, [](const Point& p) { return p.latest_ns; }));
  const auto evaluations = fmt::format(
      "{},{},{}", column("step", evaluations_, [](const Evaluated& e) { return double(e.step); }),
      column("loss", evaluations_, [](const Evaluated& e) { return e.loss; }),
      column("accuracy", evaluations_, [](const Evaluated& e) { return e.accuracy; }));
  auto reasons = nlohmann::json::array();
  for (const Planned& plan : plans_) reasons.push_back(plan.reason);
  const auto plans = fmt::format(
      "{},\"reason\":{},{}",
      column("step", plans_, [](const Planned& p) { return double(p.step); }), reasons.dump(),
      column("expected_step_ns", plans_, [](const Planned& p) { return p.expected_step_ns; }));
  return {fmt::format("{{\"rate_unit\":{},\"complete\":{},\"points\":{{{}}},\"evaluations\":{{{}}},"
                      "\"plans\":{{{}}}}}\n",
                      nlohmann::json(rate_unit).dump(), complete_, points, evaluations, plans),
          complete_};
}

}  // namespace millrace
