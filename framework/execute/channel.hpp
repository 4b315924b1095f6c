#pragma once
// Bounded hand-over of payload pointers from the workers of one stage to one worker of a neighbour.

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "millrace/stage.hpp"

namespace millrace {

/// Many producers, one consumer. A micro-batch is handed over once every producer has sent its
/// part; micro-batches may be received in another order than they were sent.
///
///   producer 0 --send(m, 0, x)--> [ m: x y ]
///   producer 1 --send(m, 1, y)--> [ m+1: x . ]  --receive(m)--> {x, y}
///
/// Thread-safe. A thread that waits for more than a moment is parked.
class Channel {
 public:
  /// Holds at most `capacity` >= 1 micro-batches of `producers` >= 1 parts.
  Channel(int producers, int capacity);

  /// Hands over the part of `producer`. Waits while all places are taken by other micro-batches.
  /// Throws Cancelled after cancel().
  void send(int micro_batch, int producer, Payload payload);

  /// One payload per producer, in their order. Waits until all have sent theirs.
  /// Throws Cancelled after cancel(), even where all parts are there.
  std::vector<Payload> receive(int micro_batch);

  /// Makes every call throw Cancelled, now and until reset().
  void cancel();
  /// Drops what is held. No other call may be running.
  void reset();

 private:
  struct Place {
    int micro_batch = kFree;
    int missing = 0;  ///< parts not sent yet
    std::vector<Payload> parts;
  };
  static constexpr int kFree = -1;

  Place* find(int micro_batch);  // REQUIRES mutex_

  const int producers_;
  std::mutex mutex_;
  std::condition_variable arrived_;   // the consumer waits
  std::condition_variable released_;  // producers wait
  std::vector<Place> places_;         // guarded by mutex_
  bool cancelled_ = false;            // guarded by mutex_
  std::atomic<unsigned> events_ = 0;  ///< that may end a wait of the consumer; written under mutex_
};

}  // namespace millrace
