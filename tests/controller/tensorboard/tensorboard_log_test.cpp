#include "controller/tensorboard/tensorboard_log.hpp"

#include <gmock/gmock.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "controller/tensorboard/crc32c.hpp"
#include "controller/training_run.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using ::testing::ElementsAre;
using ::testing::SizeIs;

/// Fields of a message by number: numbers as they are on the wire, texts and messages as bytes.
struct Fields {
  std::multimap<int, std::uint64_t> numbers;
  std::multimap<int, std::string> texts;
};

Fields fields_of(const std::string& message) {
  CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(message.data()),
                          static_cast<int>(message.size()));
  Fields fields;
  while (const std::uint32_t tag = stream.ReadTag()) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    std::uint64_t number = 0;
    std::uint32_t length = 0;
    std::string text;
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_VARINT:
        EXPECT_TRUE(stream.ReadVarint64(&number));
        break;
      case WireFormatLite::WIRETYPE_FIXED64:
        EXPECT_TRUE(stream.ReadLittleEndian64(&number));
        break;
      case WireFormatLite::WIRETYPE_FIXED32:
        EXPECT_TRUE(stream.ReadLittleEndian32(&length));
        number = length;
        break;
      default:
        EXPECT_TRUE(stream.ReadVarint32(&length));
        EXPECT_TRUE(stream.ReadString(&text, static_cast<int>(length)));
        fields.texts.emplace(field, text);
        continue;
    }
    fields.numbers.emplace(field, number);
  }
  return fields;
}

struct Event {
  double wall = 0;
  std::int64_t step = 0;
  std::string version;
  bool start = false;
  std::map<std::string, float> scalars;
};

Event event_of(const std::string& message) {
  const Fields fields = fields_of(message);
  Event event;
  event.wall = std::bit_cast<double>(fields.numbers.find(1)->second);
  event.step = static_cast<std::int64_t>(fields.numbers.find(2)->second);
  if (const auto version = fields.texts.find(3); version != fields.texts.end())
    event.version = version->second;
  if (const auto log = fields.texts.find(9); log != fields.texts.end())
    event.start = fields_of(log->second).numbers.find(1)->second == 1;
  const auto summary = fields.texts.find(5);
  if (summary == fields.texts.end()) return event;
  for (const auto& [number, value] : fields_of(summary->second).texts) {
    const Fields parts = fields_of(value);
    event.scalars[parts.texts.find(1)->second] =
        std::bit_cast<float>(static_cast<std::uint32_t>(parts.numbers.find(2)->second));
  }
  return event;
}

template <typename Number>
Number number_at(const std::string& text, std::size_t at) {
  Number number{};
  std::memcpy(&number, text.data() + at, sizeof number);
  return number;
}

/// Records whose checksums are right.
std::vector<Event> events_of(const fs::path& file) {
  const std::string text = read_file(file, "test");
  std::vector<Event> events;
  for (std::size_t at = 0; at < text.size();) {
    const auto length = number_at<std::uint64_t>(text, at);
    EXPECT_EQ(number_at<std::uint32_t>(text, at + 8), masked_crc32c(text.substr(at, 8)));
    const std::string data = text.substr(at + 12, length);
    EXPECT_EQ(number_at<std::uint32_t>(text, at + 12 + length), masked_crc32c(data));
    events.push_back(event_of(data));
    at += 16 + length;
  }
  return events;
}

class Tensorboard : public ScratchFolder {
 protected:
  std::vector<fs::path> files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
  }
  const fs::path folder_ = scratch_ / "run" / "tensorboard";
};

TEST_F(Tensorboard, AFileHasVersionStartAndScalars) {
  TensorboardLog log(folder_, 40, [] { return 1.7e9 + 0.25; });
  log.add(StepMetrics{41, 2, 0.5, 120, 5e8, 0.01, 0, {}});
  log.add(41, Evaluation{100, 0.75, 0.25, 0});
  ASSERT_THAT(files(), SizeIs(1));
  EXPECT_THAT(files()[0].filename().string(),
              ::testing::StartsWith("events.out.tfevents.1700000000."));
  const auto events = events_of(files()[0]);
  ASSERT_THAT(events, SizeIs(4));
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[0].wall, 1.7e9 + 0.25);
  EXPECT_TRUE(events[1].start);
  EXPECT_EQ(events[1].step, 41) << "what other files have of it and of later ones is forgotten";
  EXPECT_EQ(events[2].step, 41);
  EXPECT_EQ(events[2].scalars,
            (std::map<std::string, float>{
                {"loss/train", 0.5f}, {"images_per_second", 120.0f}, {"learning_rate", 0.01f}}));
  EXPECT_EQ(events[3].scalars, (std::map<std::string, float>{{"loss/validation", 0.75f},
                                                             {"accuracy/validation", 0.25f}}));
}

TEST_F(Tensorboard, EachPartOfARunHasAFileOfItsOwn) {
  for (const int step : {0, 3, 6}) TensorboardLog(folder_, step, [] { return 5.0; });
  EXPECT_THAT(files(), SizeIs(3));
}

TEST_F(Tensorboard, AFolderThatCannotBeMadeIsSaid) {
  write_file_atomically(scratch_ / "file", "", "test");
  EXPECT_THROW(TensorboardLog(scratch_ / "file" / "folder", 0), ResourceError);
}

TEST_F(Tensorboard, ARunWritesItsMetrics) {
  FakeSession session{4};
  RunFolder run = RunFolder::create(scratch_ / "run", false);
  TrainingSettings settings = fake_settings(session, 6);
  settings.metrics_every_steps = 2;
  settings.metrics_sink = [&](std::int64_t step) {
    return std::make_unique<TensorboardLog>(run.tensorboard(), step);
  };
  RecordingObserver observer;
  run_training(session, run, settings, observer);
  std::vector<std::int64_t> steps, evaluated;
  for (const Event& event : events_of(files().at(0))) {
    if (event.scalars.contains("loss/train")) steps.push_back(event.step);
    if (event.scalars.contains("loss/validation")) evaluated.push_back(event.step);
  }
  EXPECT_THAT(steps, ElementsAre(2, 4, 6));
  EXPECT_THAT(evaluated, ElementsAre(4, 6));
}

}  // namespace
}  // namespace millrace
