#pragma once
// When to give up on a training that no longer gets better.

#include <cstdint>

namespace millrace {

class Patience {
 public:
  /// `evaluations`: how many in a row may be no better than the best before them; 0: any number.
  explicit Patience(std::int64_t evaluations) : evaluations_(evaluations) {}

  /// The next evaluation's accuracy.
  void observe(double accuracy) {
    since_best_ = accuracy > best_ ? 0 : since_best_ + 1;
    if (accuracy > best_) best_ = accuracy;
  }
  bool exhausted() const { return evaluations_ > 0 && since_best_ >= evaluations_; }
  double best() const { return best_; }

 private:
  std::int64_t evaluations_, since_best_ = 0;
  double best_ = -1;
};

}  // namespace millrace
