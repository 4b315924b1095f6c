#include "controller/tensorboard/event_file.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <cerrno>
#include <cstring>

#include "controller/tensorboard/crc32c.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

using Wire = google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

constexpr const char* kTag = "tensorboard";

// Numbers of the fields of Event, Summary, Summary.Value and SessionLog.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 9;
constexpr int kValue = 1;
constexpr int kName = 1, kSimpleValue = 2;
constexpr int kStatus = 1, kStart = 1;

/// What `write` writes into a stream.
template <typename Write>
std::string message(const Write& write) {
  std::string text;
  google::protobuf::io::StringOutputStream output(&text);
  CodedOutputStream stream(&output);
  write(stream);
  stream.Trim();
  return text;
}

std::string event(double wall_seconds, std::int64_t step, int field, const std::string& content) {
  return message([&](CodedOutputStream& stream) {
    Wire::WriteDouble(kWallTime, wall_seconds, &stream);
    Wire::WriteInt64(kStep, step, &stream);
    Wire::WriteBytes(field, content, &stream);
  });
}

std::string summary_value(const std::string& name, double value) {
  return message([&](CodedOutputStream& stream) {
    Wire::WriteBytes(kName, name, &stream);
    Wire::WriteFloat(kSimpleValue, static_cast<float>(value), &stream);
  });
}

template <typename Number>
std::string little_endian(Number number) {
  std::string text;
  for (std::size_t byte = 0; byte < sizeof number; ++byte)
    text += static_cast<char>(number >> (8 * byte) & 0xff);
  return text;
}

}  // namespace

std::string version_event(double wall_seconds) {
  return event(wall_seconds, 0, kFileVersion, "brain.Event:2");
}

std::string start_event(double wall_seconds, std::int64_t step) {
  const std::string log =
      message([](CodedOutputStream& stream) { Wire::WriteEnum(kStatus, kStart, &stream); });
  return event(wall_seconds, step, kSessionLog, log);
}

std::string scalars_event(double wall_seconds, std::int64_t step, const Scalars& scalars) {
  const std::string summary = message([&](CodedOutputStream& stream) {
    for (const auto& [name, value] : scalars)
      Wire::WriteBytes(kValue, summary_value(name, value), &stream);
  });
  return event(wall_seconds, step, kSummary, summary);
}

std::string tfrecord(const std::string& data) {
  const std::string length = little_endian(static_cast<std::uint64_t>(data.size()));
  return length + little_endian(masked_crc32c(length)) + data + little_endian(masked_crc32c(data));
}

EventFile::EventFile(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code error;
  std::filesystem::create_directories(path_.parent_path(), error);
  errno = 0;
  stream_.open(path_, std::ios::binary | std::ios::trunc);
  if (!stream_)
    throw ResourceError(kTag,
                        fmt::format("cannot write {}: {}: choose a folder that can be written",
                                    path_.string(), std::strerror(errno)));
}

void EventFile::add(const std::string& event) {
  errno = 0;
  stream_ << tfrecord(event) << std::flush;
  if (!stream_)
    throw ResourceError(kTag, fmt::format("cannot write {}: {}: free some space, or train without "
                                          "--tensorboard",
                                          path_.string(), std::strerror(errno)));
}

}  // namespace millrace
