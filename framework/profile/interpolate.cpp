#include <algorithm>

#include "millrace/errors.hpp"
#include "millrace/profile.hpp"

namespace millrace {

int Profile::kind_index(std::string_view kind) const {
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const DeviceKind& other) { return other.name == kind; });
  return found == kinds.end() ? -1 : static_cast<int>(found - kinds.begin());
}

bool Profile::splits_backward() const {
  return std::any_of(layers.begin(), layers.end(),
                     [](const LayerCosts& layer) { return layer.splits_backward(); });
}

double interpolate_ns(const std::vector<std::int64_t>& samples, const std::vector<double>& ns,
                      double count) {
  MILLRACE_CHECK(!samples.empty() && samples.size() == ns.size(), "costs",
                 "a curve needs one cost per sample count");
  const auto above = std::lower_bound(samples.begin(), samples.end(), count,
                                      [](std::int64_t n, double x) { return double(n) < x; });
  if (above == samples.begin()) return ns.front() * (count / double(samples.front()));
  if (above == samples.end()) return ns.back() * (count / double(samples.back()));
  const auto i = static_cast<std::size_t>(above - samples.begin());
  const double width = double(samples[i] - samples[i - 1]);
  const double part = (count - double(samples[i - 1])) / width;
  return ns[i - 1] + part * (ns[i] - ns[i - 1]);
}

}  // namespace millrace
