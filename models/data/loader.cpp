#include "models/data/loader.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <set>

#include "framework/affinity/affinity.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "models/data/draws.hpp"
#include "models/data/image.hpp"
#include "models/data/image_file.hpp"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

/// A batch that is being decoded. What decoding threads write (rows of the tensors, the fields
/// below `left`) is ordered by Loader's mutex.
struct Slot {
  std::int64_t epoch = 0;
  std::vector<std::int64_t> indices;  ///< in the data set, one per row
  Batch batch;
  std::byte* inputs = nullptr;
  std::int64_t* targets = nullptr;
  std::size_t left = 0;              ///< rows not done yet
  std::vector<std::int64_t> broken;  ///< rows without an image (validation)
  std::size_t failed_row = 0;        ///< of `failure`: the first of the batch, whatever came first
  std::exception_ptr failure;
};

/// Of one row: `failure` is empty where it was filled.
struct Outcome {
  std::exception_ptr failure;
  bool is_broken_image = false;  ///< and not the machine's failure
};

struct Job {
  std::shared_ptr<Slot> slot;
  std::size_t row = 0;
};

void require(bool fits, const std::string& what, std::int64_t value, const std::string& rule) {
  if (!fits) throw ConfigError("data", what + " " + std::to_string(value) + ": " + rule);
}

void check(const Samples& samples, const LoaderSettings& settings) {
  require(settings.batch >= 1, "batch", settings.batch, "it must be at least 1");
  require(settings.look_ahead >= 0, "look-ahead", settings.look_ahead, "it must be at least 0");
  require(settings.threads >= 0, "decoding threads", settings.threads,
          "it must be at least 1, or 0 for as many as fit");
  require(samples.size() >= 1, "samples", samples.size(), "the data set is empty");
}

int decoding_threads(const LoaderSettings& settings) {
  if (settings.threads > 0) return settings.threads;
  if (!settings.cpus.empty()) return static_cast<int>(settings.cpus.size());
  return tbb::this_task_arena::max_concurrency();
}

/// Binds oneTBB's threads to the CPUs while they are in the arena.
class ArenaBinding : public tbb::task_scheduler_observer {
 public:
  ArenaBinding(tbb::task_arena& arena, std::vector<int> cpus)
      : task_scheduler_observer(arena), cpus_(std::move(cpus)) {
    if (!cpus_.empty()) observe(true);
  }
  ~ArenaBinding() override { observe(false); }

  void on_scheduler_entry(bool) override { bound().emplace(cpus_); }
  void on_scheduler_exit(bool) override { bound().reset(); }

 private:
  static std::optional<ScopedBinding>& bound() {
    static thread_local std::optional<ScopedBinding> binding;
    return binding;
  }
  std::vector<int> cpus_;
};

std::vector<std::int64_t> batch_of(std::int64_t rows, std::vector<std::int64_t> extents) {
  extents.insert(extents.begin(), rows);
  return extents;
}

/// Rows that were decoded, where some were not.
Batch without_rows(const Batch& batch, std::vector<std::int64_t> broken) {
  std::vector<std::int64_t> kept(static_cast<std::size_t>(batch.targets.size(0)));
  std::iota(kept.begin(), kept.end(), 0);
  std::erase_if(kept, [&](std::int64_t row) { return std::ranges::count(broken, row) > 0; });
  const at::Tensor rows = at::tensor(kept, at::kLong);
  return {batch.inputs.index_select(0, rows), batch.targets.index_select(0, rows)};
}

}  // namespace

struct Loader::Parts {
  Parts(std::shared_ptr<const Samples> set, LoaderSettings with)
      : samples(std::move(set)),
        layout(samples->layout()),
        settings(std::move(with)),
        broken(settings.known_broken),
        pool(tbb::global_control::max_allowed_parallelism,
             static_cast<std::size_t>(decoding_threads(settings)) + 1),
        arena(decoding_threads(settings), /*reserved_for_masters=*/0),
        binding(arena, settings.cpus) {}

  // ---- called by the owner of the Loader ----

  std::int64_t steps_per_epoch() const {
    return (samples->size() + settings.batch - 1) / settings.batch;
  }
  bool is_training() const { return settings.training; }
  bool is_past_end(std::int64_t step) const { return !is_training() && step >= steps_per_epoch(); }

  /// Samples of the epoch in their order: Fisher-Yates with draws of (seed, epoch).
  const std::vector<std::int64_t>& order(std::int64_t epoch) {
    if (epoch == order_epoch) return order_of_epoch;
    order_of_epoch.resize(static_cast<std::size_t>(samples->size()));
    std::iota(order_of_epoch.begin(), order_of_epoch.end(), 0);
    order_epoch = epoch;
    if (!is_training()) return order_of_epoch;
    Draws draws{settings.seed, static_cast<std::uint64_t>(epoch)};
    for (std::size_t i = order_of_epoch.size(); i > 1; --i) {
      std::swap(order_of_epoch[i - 1], order_of_epoch[draws.below(i)]);
    }
    return order_of_epoch;
  }

  /// Of the batch of a step, in their order.
  std::vector<std::int64_t> samples_of(std::int64_t step) {
    const auto& all = order(step / steps_per_epoch());
    const std::int64_t begin = step % steps_per_epoch() * settings.batch;
    const std::int64_t end = std::min(begin + settings.batch, samples->size());
    return {all.begin() + begin, all.begin() + end};
  }

  std::shared_ptr<Slot> make_slot(std::int64_t step) {
    auto slot = std::make_shared<Slot>();
    slot->epoch = step / steps_per_epoch();
    slot->indices = samples_of(step);
    const auto rows = static_cast<std::int64_t>(slot->indices.size());
    slot->batch = {at::empty(batch_of(rows, layout.inputs), layout.tokens ? at::kLong : at::kFloat),
                   at::empty(batch_of(rows, layout.labels), at::kLong)};
    slot->inputs = static_cast<std::byte*>(slot->batch.inputs.data_ptr());
    slot->targets = slot->batch.targets.data_ptr<std::int64_t>();
    slot->left = slot->indices.size();
    return slot;
  }

  /// Begins decoding until `batches` are under way or done.
  void fill(int batches) {
    while (std::ssize(slots) < batches) {
      const std::int64_t step = position + std::ssize(slots);
      if (is_past_end(step)) return;
      slots.push_back(make_slot(step));
      const std::size_t rows = slots.back()->indices.size();
      {
        const std::scoped_lock lock(mutex);
        for (std::size_t row = 0; row < rows; ++row) jobs.push_back({slots.back(), row});
        tickets += rows;
      }
      for (std::size_t row = 0; row < rows; ++row) arena.enqueue([this] { work(); });
    }
  }

  /// Has the files read of the batch behind those that are being decoded.
  void read_ahead() {
    const std::int64_t step = position + std::ssize(slots);
    if (is_past_end(step)) return;
    {
      const std::scoped_lock lock(mutex);
      ++tickets;
    }
    arena.enqueue([this, indices = samples_of(step)] {
      for (const std::int64_t index : indices) samples->will_need(index);
      const std::scoped_lock lock(mutex);
      --tickets;
      changed.notify_all();
    });
  }

  /// Forgets what is under way and waits for the rows that are being decoded.
  void stop() {
    std::unique_lock lock(mutex);
    jobs.clear();
    changed.wait(lock, [&] { return tickets == 0; });
    slots.clear();
  }

  void wait_for(const Slot& slot) {
    std::unique_lock lock(mutex);
    if (slot.left == 0) return;
    const auto begin = Clock::now();
    changed.wait(lock, [&] { return slot.left == 0; });
    ++waits;
    wait_ns += std::chrono::nanoseconds(Clock::now() - begin).count();
  }

  std::optional<Batch> next() {
    while (!is_past_end(position)) {
      fill(std::max(settings.look_ahead, 1));
      const std::shared_ptr<Slot> slot = slots.front();
      wait_for(*slot);
      if (slot->failure) {
        stop();  // so that a later call decodes anew
        std::rethrow_exception(slot->failure);
      }
      slots.pop_front();
      ++position;
      fill(settings.look_ahead);
      read_ahead();
      if (slot->broken.empty()) return slot->batch;
      Batch rest = without_rows(slot->batch, slot->broken);
      if (rest.targets.size(0) > 0) return rest;
    }
    return std::nullopt;
  }

  // ---- called by decoding threads ----

  /// One ticket: one row, or nothing where stop() took the jobs away. Rows are begun in order.
  void work() {
    std::unique_lock lock(mutex);
    if (!jobs.empty()) {
      const Job job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      const DiskWaits before = disk_waits_of_this_thread();
      const Outcome outcome = fill_row(*job.slot, job.row);
      const DiskWaits after = disk_waits_of_this_thread();
      lock.lock();
      disk_waits.count += after.count - before.count;
      disk_waits.ns += after.ns - before.ns;
      finish_row(*job.slot, job.row, outcome);
    }
    --tickets;
    changed.notify_all();  // under the lock: after it the Loader may be gone
  }

  void finish_row(Slot& slot, std::size_t row, const Outcome& outcome) {
    --slot.left;
    if (!outcome.failure) return;
    if (outcome.is_broken_image && settings.skip_bad && !is_training()) {
      slot.broken.push_back(static_cast<std::int64_t>(row));
    } else if (!slot.failure || row < slot.failed_row) {
      slot.failure = outcome.failure;
      slot.failed_row = row;
    }
  }

  Outcome fill_row(Slot& slot, std::size_t row) noexcept {
    Outcome outcome;
    const std::int64_t attempts = settings.skip_bad && is_training() ? samples->size() : 1;
    for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
      const std::int64_t index = (slot.indices[row] + attempt) % samples->size();
      try {
        decode_row(slot, row, index);
        return {};
      } catch (const ConfigError& error) {
        outcome = {std::current_exception(), true};
        if (settings.skip_bad) count_broken(index, error);
      } catch (...) {
        return {std::current_exception(), false};
      }
    }
    return outcome;
  }

  void decode_row(const Slot& slot, std::size_t row, std::int64_t index) const {
    samples->fill({settings.seed, slot.epoch, index}, is_training(),
                  slot.inputs + row * static_cast<std::size_t>(layout.input_bytes()),
                  slot.targets + row * static_cast<std::size_t>(layout.label_count()));
  }

  void count_broken(std::int64_t index, const ConfigError& error) {
    const std::scoped_lock lock(mutex);
    if (broken.insert(index).second) log_warning("data", std::string("left out: ") + error.what());
  }

  const std::shared_ptr<const Samples> samples;
  const SampleLayout layout;
  const LoaderSettings settings;
  std::int64_t position = 0, waits = 0, wait_ns = 0;
  std::deque<std::shared_ptr<Slot>> slots;  ///< of position, position + 1, …
  std::vector<std::int64_t> order_of_epoch;
  std::int64_t order_epoch = -1;

  mutable std::mutex mutex;
  std::condition_variable changed;  ///< a ticket was used
  std::deque<Job> jobs;             // guarded by mutex
  std::size_t tickets = 0;          // guarded by mutex: tasks handed to oneTBB that have not ended
  std::set<std::int64_t> broken;    // guarded by mutex: samples
  DiskWaits disk_waits;             // guarded by mutex
  /// oneTBB's pool holds one thread less than it may use, the caller's, who does not decode here.
  tbb::global_control pool;
  tbb::task_arena arena;
  ArenaBinding binding;
};

Loader::Loader(std::shared_ptr<const Samples> samples, LoaderSettings settings) {
  check(*samples, settings);
  parts_ = std::make_unique<Parts>(std::move(samples), std::move(settings));
  parts_->fill(parts_->settings.look_ahead);
  parts_->read_ahead();
}

Loader::~Loader() { parts_->stop(); }

std::optional<Batch> Loader::next() { return parts_->next(); }

void Loader::seek(std::int64_t step) {
  require(step >= 0, "step", step, "it must be at least 0");
  if (step == parts_->position) return;
  parts_->stop();
  parts_->position = step;
  parts_->fill(parts_->settings.look_ahead);
  parts_->read_ahead();
}

at::Tensor load_image(const std::string& file, const SampleFormat& format) {
  const Image image = read_image(file, format.channels, [&](int full_width, int full_height) {
    return shrink_limit(centre_crop(format, full_width, full_height), format);
  });
  at::Tensor result = at::empty({1, format.channels, format.height, format.width});
  render_sample(image, centre_crop(format, image.full_width, image.full_height), format,
                result.data_ptr<float>());
  return result;
}

std::int64_t Loader::position() const { return parts_->position; }
std::int64_t Loader::steps_per_epoch() const { return parts_->steps_per_epoch(); }
std::int64_t Loader::waits() const { return parts_->waits; }
std::int64_t Loader::wait_ns() const { return parts_->wait_ns; }

DiskWaits Loader::disk_waits() const {
  const std::scoped_lock lock(parts_->mutex);
  return parts_->disk_waits;
}

std::int64_t Loader::skipped() const {
  const std::scoped_lock lock(parts_->mutex);
  return std::ssize(parts_->broken);
}

std::set<std::int64_t> Loader::broken() {
  parts_->stop();
  return parts_->broken;
}

}  // namespace millrace
