#include "pgrecast/base/sync_point.h"

#ifdef PGRECAST_TEST_HOOKS

#include <atomic>
#include <charconv>
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

struct StopAt {
  std::string name;
  int countdown = 1;
};

StopAt read_stop_at(const char* variable) {
  const std::string text = environment(variable);
  const std::size_t hash = text.rfind('#');
  StopAt stop{.name = text.substr(0, hash), .countdown = 1};
  if (hash != std::string::npos) {
    std::from_chars(text.data() + hash + 1, text.data() + text.size(),
                    stop.countdown);
  }
  return stop;
}

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

}  // namespace

void sync_point_reached(std::string_view name) {
  static const StopAt stop = read_stop_at("PGRECAST_STOP_AT");
  static const StopAt freeze = read_stop_at("PGRECAST_FREEZE_AT");
  static std::atomic<int> countdown{stop.countdown};
  static std::atomic<int> until_frozen{freeze.countdown};
  if (name == stop.name && --countdown == 0) {
    static_cast<void>(std::raise(SIGKILL));  // nobody is left to look
  }
  if (name == freeze.name && --until_frozen == 0) {
    static_cast<void>(std::raise(SIGSTOP));  // cannot fail
  }
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

}  // namespace pgrecast

#endif
