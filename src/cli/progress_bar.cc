#include "pgrecast/cli/progress_bar.h"

#include "pgrecast/base/log.h"
#include "pgrecast/base/text.h"
#include "pgrecast/cli/lines.h"
#include "pgrecast/cli/terminal.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unistd.h>

namespace pgrecast::cli {
namespace {

using migration::Phase;
using migration::ProgressData;

constexpr auto kRedraw = milliseconds(200);
constexpr auto kPlainEvery = std::chrono::seconds(10);
// The pace is that of the last so many seconds, and unknown before so many.
constexpr auto kWindow = std::chrono::seconds(20);
constexpr auto kWindowMin = std::chrono::seconds(2);

double seconds_of(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

// How many rows a pass over all tables will see. After a resume the chunks may
// be long gone, and the estimate is what is left.
double rows_expected(const ProgressData& data) {
  double rows = 0;
  for (const auto& table : data.tables) {
    rows += table.rows_copied > 0 ? static_cast<double>(table.rows_copied)
                                  : std::max(table.rows_estimate, 0.0);
  }
  return rows;
}

std::int64_t rows_verified(const ProgressData& data) {
  std::uint64_t rows = 0;
  for (const auto& table : data.tables) rows += table.rows_verified;
  return static_cast<std::int64_t>(rows);
}

// Nothing where it cannot be told.
std::optional<double> fraction(const ProgressData& data) {
  if (data.phase == Phase::kCopying && data.blocks() > 0) {
    return static_cast<double>(data.blocks_copied()) /
           static_cast<double>(data.blocks());
  }
  if (data.phase == Phase::kVerifying && rows_expected(data) > 0) {
    return std::min(
        1.0, static_cast<double>(rows_verified(data)) / rows_expected(data));
  }
  return std::nullopt;
}

std::string bar_of(double done, std::size_t width) {
  const auto full = static_cast<std::size_t>(done * static_cast<double>(width));
  return "[" + std::string(full, '=') + std::string(width - full, ' ') + "]";
}

// Each figure has its own columns, so that nothing moves while they change.
// Where there is no room for all, the keys go first, and then the lag.
std::string figures(const ProgressData& data, const Pace& pace,
                    std::size_t columns) {
  std::string text;
  if (pace.done) text += fmt::format(" {:3.0f}%", *pace.done * 100);
  text +=
      fmt::format(" {:>5} rows", short_count(static_cast<double>(pace.rows)));
  text += pace.rows_per_s
              ? fmt::format(" {:>5}/s", short_count(*pace.rows_per_s))
              : std::string(8, ' ');
  const std::string dirty = fmt::format(
      " dirty {:>5}", short_count(static_cast<double>(data.dirty_keys)));
  const std::string lag = fmt::format(
      " lag {:>6}", short_size(static_cast<double>(data.lag_bytes)));
  const std::string time =
      pace.left_s ? fmt::format(" ETA {:>6}", short_duration(*pace.left_s))
                  : fmt::format(" {:>10}", short_duration(pace.phase_s));
  const std::size_t taken = text.size() + lag.size() + time.size();
  if (taken + dirty.size() <= columns) text += dirty;
  if (taken <= columns) text += lag;
  return text + time;
}

}  // namespace

Pace PaceMeter::measure(const ProgressData& data, Clock::time_point now) {
  Pace pace;
  pace.phase_s = seconds_of(now - data.phase_began);
  pace.done = fraction(data);
  pace.rows = data.phase == Phase::kVerifying ? rows_verified(data)
                                              : data.rows_copied();
  if (!pace.done) {
    samples_.clear();
    return pace;
  }
  // Another phase, another pass, or the copy from its beginning.
  const bool anew = data.phase != phase_ || samples_.empty() ||
                    *pace.done < samples_.back().done ||
                    pace.rows < samples_.back().rows;
  if (anew) samples_.clear();
  phase_ = data.phase;
  samples_.push_back({.at = now, .rows = pace.rows, .done = *pace.done});
  // The oldest sample stays until the next one is as old as the window.
  while (samples_.size() > 2 && now - samples_[1].at >= kWindow) {
    samples_.pop_front();
  }
  const Sample& first = samples_.front();
  if (now - first.at < kWindowMin) return pace;
  const double seconds = seconds_of(now - first.at);
  pace.rows_per_s = static_cast<double>(pace.rows - first.rows) / seconds;
  const double advance = (*pace.done - first.done) / seconds;
  if (advance > 0) pace.left_s = (1.0 - *pace.done) / advance;
  return pace;
}

std::string progress_line(const ProgressData& data, const Pace& pace,
                          std::size_t columns) {
  std::string line = fmt::format("{:<9}", migration::name_of(data.phase));
  if (!data.waiting_for.empty()) {
    line += fmt::format(" {}, waiting for {}", short_duration(pace.phase_s),
                        data.waiting_for);
    return std::string(utf8_prefix(line, columns));
  }
  const std::string text =
      figures(data, pace, columns - std::min(columns, line.size()));
  if (pace.done) {
    constexpr std::size_t kBarMin = 5;
    constexpr std::size_t kBarMax = 40;
    const std::size_t taken = line.size() + text.size() + 3;
    if (taken + kBarMin <= columns) {
      line += " " + bar_of(*pace.done, std::min(columns - taken, kBarMax));
    }
  }
  return std::string(utf8_prefix(line + text, columns));
}

std::string progress_values(const ProgressData& data, const Pace& pace) {
  std::string values = fmt::format("phase={}", migration::name_of(data.phase));
  if (pace.done) values += fmt::format(" percent={:.0f}", *pace.done * 100);
  values += fmt::format(" rows={}", pace.rows);
  if (pace.rows_per_s) {
    values += fmt::format(" rows_per_s={:.0f}", *pace.rows_per_s);
  }
  values += fmt::format(" dirty_keys={} lag_bytes={}", data.dirty_keys,
                        data.lag_bytes);
  if (pace.left_s) values += fmt::format(" left_s={:.0f}", *pace.left_s);
  if (!data.waiting_for.empty()) {
    values += fmt::format(" waiting_for='{}'", data.waiting_for);
  }
  return values;
}

std::string summary_text(const ProgressData& data) {
  milliseconds total{0};
  for (const auto& [phase, time] : data.phase_took) total += time;
  std::string text = fmt::format("Migration {} is done, after {:.1f} s\n",
                                 data.migration, seconds_of(total));
  for (const auto& [phase, time] : data.phase_took) {
    text += fmt::format("  {:<12} {:>8.1f} s\n", migration::name_of(phase),
                        seconds_of(time));
  }
  for (const auto& table : data.tables) {
    text += fmt::format("  {}: {} rows copied, {} verified\n", table.name,
                        table.rows_copied, table.rows_verified);
  }
  text +=
      fmt::format("  rounds {}, verification passes {}, differences found {}\n",
                  data.rounds, data.passes, data.differences);
  text += fmt::format(
      "  cutover attempts {}, lock waited for {} ms, held {} ms\n",
      data.cutover_attempts, data.lock_waited.count(), data.lock_held.count());
  return text +
         wrapped("", fmt::format("The old tables are kept; `pgrecast finish "
                                 "{}` removes them.",
                                 data.migration));
}

class ProgressBar::Impl {
 public:
  Impl(migration::Progress& progress, bool bar)
      : progress_(&progress), bar_(bar) {
    thread_ = std::jthread(
        [this](const std::stop_token& stop) noexcept { show(stop); });
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    thread_.request_stop();
    thread_.join();
    if (bar_) log::set_last_line("");
  }

 private:
  void show(const std::stop_token& stop) noexcept {
    try {
      std::unique_lock lock(mutex_);
      PaceMeter meter;
      Clock::time_point plain_at = Clock::now() + kPlainEvery;
      while (!stop.stop_requested()) {
        const ProgressData data = progress_->read();
        const Pace pace = meter.measure(data, Clock::now());
        if (bar_) {
          // A terminal wraps behind its last column.
          log::set_last_line(
              progress_line(data, pace, columns_of(STDERR_FILENO) - 1));
        } else if (Clock::now() >= plain_at) {
          log::info("progress", "under way", "{}", progress_values(data, pace));
          plain_at = Clock::now() + kPlainEvery;
        }
        changed_.wait_for(lock, stop, kRedraw, [] { return false; });
      }
    } catch (...) {  // NOLINT(bugprone-empty-catch): a bar must not end a run.
    }
  }

  migration::Progress* progress_;
  bool bar_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

ProgressBar::ProgressBar(migration::Progress& progress, ProgressMode mode) {
  if (mode == ProgressMode::kNone) return;
  const bool bar = mode == ProgressMode::kBar ||
                   (mode == ProgressMode::kAuto && can_redraw(STDERR_FILENO));
  impl_ = std::make_unique<Impl>(progress, bar);
}

ProgressBar::~ProgressBar() = default;

}  // namespace pgrecast::cli
