#pragma once

#include "pgrecast/base/log.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/pg/errors.h"

#include <algorithm>
#include <string_view>

namespace pgrecast::pg {

// Does `work`, which is whole transactions on `connection`, again and again, as
// long as the server rolls it back for somebody else's sake: a lock that was
// not granted in time, a deadlock whose victim we were. Each time it is told in
// the log. Between two attempts it rests, longer each time; a stop ends that.
//
// Returns what `work` returns. Throws what it throws otherwise; Stopped.
template <typename Work>
auto retried(Connection& connection, std::string_view what, const Work& work) {
  constexpr milliseconds kRestMax{5000};
  milliseconds rest{100};
  for (;; rest = std::min(2 * rest, kRestMax)) {
    try {
      return work();
    } catch (const SqlError& error) {
      if (error.remedy() != Remedy::kRetryTransaction) throw;
      log::warn("pg", "rolled back by the server, doing it again",
                "what='{}' error='{}' next_ms={}", what, error.what(),
                rest.count());
    }
    connection.wait_readable(Deadline::in(rest));
  }
}

}  // namespace pgrecast::pg
