#pragma once
// What one layer takes at the least, by the devices of the stage that it is on.

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "framework/plan/cost_model.hpp"
#include "framework/plan/pipeline.hpp"
#include "framework/plan/share_bound.hpp"

namespace millrace {

/// Of one micro-batch, at the very least.
struct LeastPassage {
  double forward_ns = 0;  ///< of a full one
  RoundTrip trip;
  int impossible = 0;  ///< layers that the devices cannot run; they add no time

  LeastPassage& operator+=(const LeastPassage& other) {
    forward_ns += other.forward_ns;
    trip.full_ns += other.trip.full_ns;
    trip.last_ns += other.trip.last_ns;
    impossible += other.impossible;
    return *this;
  }
  /// All times are infinite where a layer in between is impossible.
  LeastPassage operator-(const LeastPassage& other) const {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const int between = impossible - other.impossible;
    if (between > 0) return {kInfinity, {kInfinity, kInfinity}, between};
    return {forward_ns - other.forward_ns,
            {trip.full_ns - other.trip.full_ns, trip.last_ns - other.trip.last_ns},
            0};
  }
};

/// The same of all that a stage does.
struct LeastStage {
  LeastPassage passage;
  double back_ns = 0;  ///< of all micro-batches, what comes before the last gradient is handed back
  double total_ns = 0;  ///< of all micro-batches, without the update
  double update_ns = 0;

  LeastStage& operator+=(const LeastStage& other) {
    passage += other.passage;
    back_ns += other.back_ns;
    total_ns += other.total_ns;
    update_ns += other.update_ns;
    return *this;
  }
  LeastStage operator-(const LeastStage& other) const {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (passage.impossible > other.passage.impossible)
      return {passage - other.passage, kInfinity, kInfinity, kInfinity};
    return {passage - other.passage, back_ns - other.back_ns, total_ns - other.total_ns,
            update_ns - other.update_ns};
  }
};

/// Of pipelines, whatever a stage's other layers would rather have. Not thread-safe; the model
/// outlives it.
class LayerBound {
 public:
  /// most_share: the largest that least() and ns() are asked for.
  LayerBound(const CostModel& model, const Batching& batching, const BackwardForms& forms,
             int position, std::int64_t most_share);

  /// On all devices of the state. Devices of several kinds divide full micro-batches in ways that
  /// `shares` knows, or as if samples could be cut where it is null or knows none. Such times of
  /// layers may be added up where all have the same `shares`.
  LeastStage least(int state, const ShareBound* shares) const;

  /// All of one device's work on so many samples of a full micro-batch, at the least; 0 where it
  /// cannot run.
  double ns(int kind, std::int64_t samples) const;

 private:
  /// A micro-batch's; infinite where it cannot run.
  struct Times {
    double forward_ns = std::numeric_limits<double>::infinity();
    double trip_ns = forward_ns;  ///< forward, and backward but for the weights
    double back_ns = forward_ns;  ///< with the early part of the weights' gradients
    double all_ns = forward_ns;

    Times operator*(double factor) const;
    Times& operator+=(const Times& other);
    void take(const Times& other);
  };
  /// Full micro-batches and the last one.
  struct Both {
    Times full, rest;
  };
  /// One way to run the layer on one kind of device, or on a team of them.
  struct Way {
    const LoadedSums& sums;
    bool whole, apart;  ///< the backward part, or its two parts where the costs are known so
  };
  /// On one kind alone.
  struct OfKind {
    std::vector<Both> replicas;     ///< [devices]: all ways of so many, [0]: none
    std::vector<Both> each_sample;  ///< [devices]: least price of one where each has some
    std::vector<Times> shares;      ///< [samples - 1], of a full micro-batch
    Both alone;                     ///< one device with all samples
    double update_ns = 0;
  };

  int before() const { return model_.cuts().prefix(position_); }
  int behind() const { return model_.cuts().prefix(position_ + 1); }
  Times times(const Way& way, std::int64_t samples) const;
  std::vector<std::pair<std::int64_t, Times>> each_measured(const Way& way) const;
  template <typename Of>
  Both both(const Of& of) const;
  OfKind of_kind(int kind, std::int64_t most_share) const;
  Both on_devices(int kind, int devices, const Way& single) const;
  bool runs_alone(int state) const;
  Times mixed(int state, const ShareBound* shares, Times Both::*batch, std::int64_t samples) const;
  template <typename Ns>
  Times together(int state, const Ns& ns) const;
  double update_ns(int state) const;

  const CostModel& model_;
  const DeviceStates& states_;
  const Batching batching_;
  const BackwardForms forms_;
  const bool apart_;
  double early_ = 0;  // of the weights' gradients of all micro-batches but the last, the early ones
  int position_;
  bool whole_only_ = false, sliceable_ = false;
  std::vector<OfKind> kinds_;
};

}  // namespace millrace
