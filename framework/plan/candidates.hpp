#pragma once
// Complete plans as the search sees them, and the best of them.

#include <limits>
#include <string>
#include <vector>

#include "framework/plan/pipeline.hpp"

namespace millrace {

struct Candidate {
  std::vector<StageOption> stages;
  std::vector<int> lanes;  ///< by stage; see Schedule
  Batching batching{1, 1};
  std::string schedule;
  double value_ns = 0;  ///< as Plan::value_ns
  double score_ns = 0;  ///< what is compared: ns per step (period: in the steady state)
};

/// Values closer than this are the same up to rounding: the plan found first stays.
inline constexpr double kSameScore = 1 - 1e-12;

/// The best candidates of so many forms: devices, splits and lanes of the stages, recomputation,
/// micro-batch, schedule where there is a choice. Cuts and shares make no other form.
class BestCandidates {
 public:
  explicit BestCandidates(int forms) : forms_(forms) {}

  /// Best first.
  const std::vector<Candidate>& all() const { return all_; }
  /// What reaches this is not kept; infinity while there are too few.
  double limit_ns() const {
    return static_cast<int>(all_.size()) < forms_ ? std::numeric_limits<double>::infinity()
                                                  : all_.back().score_ns * kSameScore;
  }
  void offer(Candidate candidate);

 private:
  int forms_;
  std::vector<Candidate> all_;
};

}  // namespace millrace
