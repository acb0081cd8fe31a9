#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/migration/progress.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace pgrecast::cli {

enum class ProgressMode { kAuto, kBar, kPlain, kNone };

// Shows a migration's progress on stderr, from a thread of its own, until it is
// destroyed: a bar on the terminal's last line, or a log line every ten seconds
// (each change of phase is logged anyway).
class ProgressBar {
 public:
  ProgressBar(migration::Progress& progress, ProgressMode mode);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// How a phase goes, as far as it can be told.
struct Pace {
  std::int64_t rows = 0;             // copied or verified, by the phase
  std::optional<double> done;        // from 0 to 1
  std::optional<double> rows_per_s;  // in the last seconds
  std::optional<double> left_s;      // until the phase ends, at that rate
  double phase_s = 0;                // since it began, in this process
};

// Measures the pace over a window of the last seconds, so that neither one slow
// chunk nor what an earlier process did makes the estimate jump. Belongs to one
// thread; `now` never goes back.
class PaceMeter {
 public:
  Pace measure(const migration::ProgressData& data, Clock::time_point now);

 private:
  struct Sample {
    Clock::time_point at;
    std::int64_t rows;
    double done;
  };

  migration::Phase phase_ = migration::Phase::kPreparing;
  std::deque<Sample> samples_;
};

// For a terminal: one line, at most `columns` wide; the bar takes what the
// figures leave.
std::string progress_line(const migration::ProgressData& data, const Pace& pace,
                          std::size_t columns);

// For a log: key=value.
std::string progress_values(const migration::ProgressData& data,
                            const Pace& pace);

// What a finished migration did, for the end of `run`.
std::string summary_text(const migration::ProgressData& data);

}  // namespace pgrecast::cli
