#include "pgrecast/base/log.h"

#include "pgrecast/base/json.h"

#include <nlohmann/json.hpp>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <mutex>

namespace pgrecast::log {
namespace {

std::atomic<Format> line_format{Format::kText};

// stderr. What is drawn anew is written over what was there, in one write, and
// only then is the rest of the line erased: so nothing flickers.
class Sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void set_last_line(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (text == last_line_) return;
    last_line_ = text;
    write("\r" + text + kEraseRest);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t formatted;
    formatter_->format(message, formatted);
    const std::string line(formatted.data(), formatted.size());
    if (last_line_.empty()) {
      write(line);
    } else {
      write("\r" + std::string(kEraseRest) + line + last_line_);
    }
  }

  void flush_() override { static_cast<void>(std::fflush(stderr)); }

 private:
  static constexpr const char* kEraseRest = "\x1b[K";

  // There is nobody to tell where stderr itself fails.
  static void write(const std::string& text) {
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
    static_cast<void>(std::fflush(stderr));
  }

  std::string last_line_;
};

const std::shared_ptr<Sink>& sink() {
  static const auto instance = std::make_shared<Sink>();
  return instance;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("pgrecast", sink());
    made->set_pattern("%Y-%m-%d %H:%M:%S.%e %-5l %v");
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum native(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
    case Level::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

}  // namespace

void configure(Level level, Format format) {
  line_format = format;
  logger().set_level(native(level));
  if (format == Format::kJson) {
    logger().set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})");
  }
}

void set_last_line(const std::string& text) {
  sink()->set_last_line(text);
}

bool enabled(Level level) {
  return logger().should_log(native(level));
}

void write(Level level, std::string_view layer, std::string_view phrase,
           const std::string& values) {
  if (line_format.load() == Format::kJson) {
    logger().log(native(level), R"("layer":"{}","event":{},"values":{})", layer,
                 shown_json(phrase), shown_json(values));
    return;
  }
  logger().log(native(level), "{:<9} {}{}{}", layer, phrase,
               values.empty() ? "" : " ", values);
}

}  // namespace pgrecast::log
