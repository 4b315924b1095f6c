#pragma once
// Words for a plan that the verbs and its explanation share.

#include <string>

#include "millrace/plan.hpp"

namespace millrace {

/// "1 micro-batch of 64", "2 micro-batches of 32", "3 micro-batches of 28, the last of 8".
std::string micro_batches_text(const Plan& plan);

}  // namespace millrace
