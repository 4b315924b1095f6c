#pragma once
// The plans that a run took after its first one, by the step from which they are in force: a
// resumed run takes them at the same steps.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace {

/// `folder`/STEP.json and STEP-costs.json. Not thread-safe.
class TakenPlans {
 public:
  explicit TakenPlans(std::filesystem::path folder) : folder_(std::move(folder)) {}

  struct Files {
    std::filesystem::path plan, costs;
  };

  /// Ascending. Empty where the folder is not there.
  std::vector<std::int64_t> steps() const;
  Files files_of(std::int64_t step) const;
  /// Of the last plan taken at `step` or before; empty: the first plan is in force.
  std::optional<Files> in_force(std::int64_t step) const;

  /// Throws ConfigError (tag "plan" or "costs") naming the file.
  static std::pair<Plan, Profile> read(const Files& files);
  /// Throws ResourceError (tag "plan").
  void add(std::int64_t step, const Plan& plan, const Profile& costs) const;
  /// Those that a run which goes on at `step` otherwise will not take.
  void remove_after(std::int64_t step) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace millrace
