#include "pgrecast/base/sync_point.h"

#ifdef PGRECAST_TEST_HOOKS

#include <atomic>
#include <charconv>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <shared_mutex>
#include <string>

namespace pgrecast {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

// NAME or NAME#N: the Nth time that NAME is reached.
class Moment {
 public:
  explicit Moment(const char* variable) {
    const std::string text = environment(variable);
    const std::size_t hash = text.rfind('#');
    name_ = text.substr(0, hash);
    int times = 1;
    if (hash != std::string::npos) {
      std::from_chars(text.data() + hash + 1, text.data() + text.size(), times);
    }
    countdown_ = times;
  }

  bool is_now(std::string_view reached) {
    return reached == name_ && --countdown_ == 0;
  }

 private:
  std::string name_;
  std::atomic<int> countdown_;
};

// ",rule,rule,"
struct RulesOff {
  std::shared_mutex mutex;
  std::string names = "," + environment("PGRECAST_RULE_OFF") + ",";
  std::string of_environment = names;
};

RulesOff& rules_off() {
  static RulesOff rules;
  return rules;
}

struct Stalled {
  std::mutex mutex;
  std::condition_variable changed;
  std::string name;
  bool reached = false;
};

Stalled& stalled() {
  static Stalled point;
  return point;
}

void stall_at(std::string_view name) {
  Stalled& point = stalled();
  std::unique_lock lock(point.mutex);
  if (point.name != name) return;
  point.reached = true;
  point.changed.notify_all();
  point.changed.wait(lock, [&] { return point.name != name; });
}

}  // namespace

void sync_point_reached(std::string_view name) {
  static Moment stop("PGRECAST_STOP_AT");
  static Moment freeze("PGRECAST_FREEZE_AT");
  if (stop.is_now(name)) {
    static_cast<void>(std::raise(SIGKILL));  // nobody is left to look
  }
  if (freeze.is_now(name)) {
    static_cast<void>(std::raise(SIGSTOP));  // cannot fail
  }
  stall_at(name);
}

bool rule_on(std::string_view rule) {
  RulesOff& off = rules_off();
  const std::shared_lock lock(off.mutex);
  return off.names.find("," + std::string(rule) + ",") == std::string::npos;
}

RuleOff::RuleOff(const std::string& rule) {
  RulesOff& off = rules_off();
  const std::unique_lock lock(off.mutex);
  off.names += rule + ",";
}

RuleOff::~RuleOff() {
  RulesOff& off = rules_off();
  const std::unique_lock lock(off.mutex);
  off.names = off.of_environment;
}

Stall::Stall(const std::string& name) {
  Stalled& point = stalled();
  const std::lock_guard lock(point.mutex);
  point.name = name;
  point.reached = false;
}

Stall::~Stall() {
  Stalled& point = stalled();
  const std::lock_guard lock(point.mutex);
  point.name.clear();
  point.changed.notify_all();
}

void Stall::wait_until_reached() const {
  Stalled& point = stalled();
  std::unique_lock lock(point.mutex);
  point.changed.wait(lock, [&] { return point.reached; });
}

}  // namespace pgrecast

#endif
