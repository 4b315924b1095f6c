#include "controller/cli/bench/dispatch.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/cli/output.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {

std::string to_json(const DispatchReport& report) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const DispatchRow& row : report.rows) {
    rows.push_back({{"name", row.name},
                    {"tasks", row.tasks},
                    {"median_ns", row.median_ns},
                    {"p99_ns", row.p99_ns}});
    if (row.core_share) rows.back()["core_share"] = *row.core_share;
  }
  return json_text({{"cpus", report.cpus}, {"rows", std::move(rows)}});
}

std::string to_table(const DispatchReport& report) {
  std::string text =
      fmt::format("tasks that do nothing, on CPUs {}\n\n{:<32} {:>8} {:>10} {:>10}\n",
                  format_cpu_list(report.cpus), "", "tasks", "median", "99 %");
  for (const DispatchRow& row : report.rows) {
    text += fmt::format("{:<32} {:>8} {:>7.1f} us {:>7.1f} us", row.name, row.tasks,
                        row.median_ns * 1e-3, row.p99_ns * 1e-3);
    if (row.core_share)
      text += fmt::format("   {:.1f} % of a core is used meanwhile", 100 * *row.core_share);
    text += '\n';
  }
  return text;
}

}  // namespace millrace::cli
