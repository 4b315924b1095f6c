#include "framework/execute/channel.hpp"

#include <algorithm>
#include <utility>

#include "framework/base/spin.hpp"

namespace millrace {

Channel::Channel(int producers, int capacity)
    : producers_(producers), places_(static_cast<std::size_t>(capacity)) {}

Channel::Place* Channel::find(int micro_batch) {
  const auto found = std::find_if(places_.begin(), places_.end(), [&](const Place& place) {
    return place.micro_batch == micro_batch;
  });
  return found == places_.end() ? nullptr : &*found;
}

void Channel::send(int micro_batch, int producer, Payload payload) {
  bool complete = false;
  {
    std::unique_lock lock(mutex_);
    Place* place = nullptr;
    released_.wait(lock, [&] {
      place = find(micro_batch);
      if (place == nullptr) place = find(kFree);
      return cancelled_ || place != nullptr;
    });
    if (cancelled_) throw Cancelled{};
    if (place->micro_batch == kFree) {
      place->micro_batch = micro_batch;
      place->missing = producers_;
      place->parts.resize(static_cast<std::size_t>(producers_));
    }
    place->parts[static_cast<std::size_t>(producer)] = std::move(payload);
    complete = --place->missing == 0;
    if (complete) ++events_;
  }
  if (complete) arrived_.notify_one();
}

std::vector<Payload> Channel::receive(int micro_batch) {
  std::vector<Payload> parts;
  {
    std::unique_lock lock(mutex_);
    Place* place = nullptr;
    const auto ready = [&] {
      place = find(micro_batch);
      return cancelled_ || (place != nullptr && place->missing == 0);
    };
    if (!ready()) {
      const unsigned events = events_;
      lock.unlock();
      spin_until([&] { return events_ != events; });
      lock.lock();
    }
    arrived_.wait(lock, ready);
    if (cancelled_) throw Cancelled{};
    parts = std::exchange(place->parts, {});
    place->micro_batch = kFree;
  }
  released_.notify_all();
  return parts;
}

void Channel::cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    ++events_;
  }
  arrived_.notify_all();
  released_.notify_all();
}

void Channel::reset() {
  const std::lock_guard lock(mutex_);
  for (Place& place : places_) place = Place{};
  cancelled_ = false;
}

}  // namespace millrace
