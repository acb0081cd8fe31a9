#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

// Log lines: a constant phrase, then key=value. Never a password, a conninfo
// as given, or the values of rows (keys at debug only).
//
//   log::info("copy", "chunk copied", "table={} rows={}", name, rows);
//
// Thread-safe; synchronous, to stderr. spdlog stays out of this header.
namespace pgrecast::log {

enum class Level { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class Format { kText, kJson };

// Call once, before the threads start. Until then: info, text.
void configure(Level level, Format format);

// A line that stays below all others on a terminal, such as a progress bar:
// each log line is written above it. Empty: none, and the last one is wiped
// off. Drawn at once, under the log's lock. Thread-safe.
void set_last_line(const std::string& text);

bool enabled(Level level);

void write(Level level, std::string_view layer, std::string_view phrase,
           const std::string& values);

template <typename... Args>
void line(Level level, std::string_view layer, std::string_view phrase,
          fmt::format_string<Args...> values, Args&&... args) {
  if (!enabled(level)) return;
  write(level, layer, phrase, fmt::format(values, std::forward<Args>(args)...));
}

template <typename... Args>
void debug(std::string_view layer, std::string_view phrase,
           fmt::format_string<Args...> values, Args&&... args) {
  line(Level::kDebug, layer, phrase, values, std::forward<Args>(args)...);
}

template <typename... Args>
void info(std::string_view layer, std::string_view phrase,
          fmt::format_string<Args...> values, Args&&... args) {
  line(Level::kInfo, layer, phrase, values, std::forward<Args>(args)...);
}

template <typename... Args>
void warn(std::string_view layer, std::string_view phrase,
          fmt::format_string<Args...> values, Args&&... args) {
  line(Level::kWarn, layer, phrase, values, std::forward<Args>(args)...);
}

template <typename... Args>
void error(std::string_view layer, std::string_view phrase,
           fmt::format_string<Args...> values, Args&&... args) {
  line(Level::kError, layer, phrase, values, std::forward<Args>(args)...);
}

}  // namespace pgrecast::log
