// What the plan measured on a sample, put together as the phases will be.

#include "reporting.h"

#include <algorithm>

namespace pgrecast::migration {

std::optional<TimeReport> time_report(const plan::Plan& plan,
                                      const RunOptions& options) {
  if (plan.measured.empty()) return std::nullopt;
  TimeReport time;
  time.workers = options.workers;
  double key_indexes = 0;
  double beside = 0;  // what is built side by side
  double longest = 0;
  for (std::size_t i = 0; i < plan.measured.size(); ++i) {
    const plan::MeasuredTime& one = plan.measured[i];
    time.copy_s += one.copy_s;
    time.index_s += one.key_index_s + one.indexes_s;
    time.verify_s += one.verify_s;
    time.sampled_bytes += static_cast<std::int64_t>(one.sampled_bytes);
    key_indexes += one.key_index_s;
    if (plan.targets[i].partitioned()) {
      key_indexes += one.indexes_s;  // one after the other, like those
    } else {
      beside += one.indexes_s;
      longest = std::max(longest, one.longest_index_s);
    }
  }
  const double workers = std::max(options.workers, 1);
  time.most_s = time.copy_s + time.index_s + time.verify_s;
  time.least_s = (time.copy_s + time.verify_s) / workers + key_indexes +
                 std::max(longest, beside / workers);
  return time;
}

}  // namespace pgrecast::migration
