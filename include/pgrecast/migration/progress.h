#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/migration/phase.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace pgrecast::migration {

struct TableProgress {
  std::string name;
  std::int64_t blocks = 0;  // of the source, to be copied
  std::int64_t blocks_copied = 0;
  std::int64_t rows_copied = 0;
  std::uint64_t rows_verified = 0;  // of the present pass
  double rows_estimate = 0;
};

// How a migration under way stands, for the bar, the heartbeat and the end.
struct ProgressData {
  std::string migration;
  Phase phase = Phase::kPreparing;
  Clock::time_point phase_began = Clock::now();
  std::map<Phase, milliseconds> phase_took;
  std::vector<TableProgress> tables;
  std::int64_t bytes_copied = 0;
  std::uint64_t dirty_keys = 0;
  std::int64_t lag_bytes = 0;       // of the stream behind the server
  std::int64_t retained_bytes = 0;  // of WAL, by the slot
  std::int64_t buffer_bytes = 0;    // on our disk
  std::string waiting_for;          // empty: nothing
  std::uint64_t rounds = 0;
  std::uint64_t passes = 0;       // of verification, finished
  std::uint64_t differences = 0;  // found by verification, not dirty
  int cutover_attempts = 0;
  milliseconds lock_waited{0};
  milliseconds lock_held{0};

  std::int64_t rows_copied() const;
  std::int64_t blocks() const;
  std::int64_t blocks_copied() const;

  std::string to_json() const;  // as `status --json` shows it
};

// Written by the threads of a migration, read by those that show it.
class Progress {
 public:
  template <typename Change>
  void update(const Change& change) {
    const std::lock_guard lock(mutex_);
    change(data_);
  }

  ProgressData read() const {
    const std::lock_guard lock(mutex_);
    return data_;
  }

 private:
  mutable std::mutex mutex_;
  ProgressData data_;
};

}  // namespace pgrecast::migration
