#include "framework/plan/candidates.hpp"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

/// One stage, or one micro-batch, knows one order only of the same passes.
bool same_order(const Candidate& a, const Candidate& b) {
  if (a.schedule == b.schedule) return true;
  const bool one = a.stages.size() == 1 || a.batching.count == 1;
  return one && splits_backward(a.schedule) == splits_backward(b.schedule);
}

bool same_form(const Candidate& a, const Candidate& b) {
  return same_order(a, b) && a.lanes == b.lanes && a.batching.full == b.batching.full &&
         std::equal(a.stages.begin(), a.stages.end(), b.stages.begin(), b.stages.end(),
                    [](const StageOption& x, const StageOption& y) {
                      return x.shape.state == y.shape.state && x.shape.split == y.shape.split &&
                             x.shape.width == y.shape.width &&
                             x.shape.recompute == y.shape.recompute &&
                             !x.shape.again == !y.shape.again;
                    });
}

}  // namespace

void BestCandidates::offer(Candidate candidate) {
  if (candidate.score_ns >= limit_ns()) return;
  const auto same = std::find_if(all_.begin(), all_.end(), [&](const Candidate& other) {
    return same_form(other, candidate);
  });
  if (same != all_.end()) {
    if (candidate.score_ns >= same->score_ns * kSameScore) return;
    all_.erase(same);
  }
  const auto behind = std::find_if(all_.begin(), all_.end(), [&](const Candidate& other) {
    return candidate.score_ns < other.score_ns * kSameScore;
  });
  all_.insert(behind, std::move(candidate));
  if (static_cast<int>(all_.size()) > forms_) all_.pop_back();
}

}  // namespace millrace
