#pragma once

#include <string>
#include <string_view>

// Faults on purpose, in builds with PGRECAST_TEST_HOOKS only; nothing at all in
// a release build. All are steered by the environment, so that tests can use
// them on the real program:
//
//   PGRECAST_STOP_AT=name[#n]   kill -9 of ourselves at the n-th time (from 1)
//                               that the sync point `name` is reached
//   PGRECAST_FREEZE_AT=name[#n] the same, but SIGSTOP: SIGCONT lets us go on
//   PGRECAST_RULE_OFF=rule,..   leaves out a rule that keeps rows from being
//                               lost (docs/testing.md lists them): the
//                               counter-example's test must fail then
namespace pgrecast {

#ifdef PGRECAST_TEST_HOOKS
void sync_point_reached(std::string_view name);
bool rule_on(std::string_view rule);

// Leaves a rule out in this process, while it lives: for tests that drive the
// classes themselves. At most one at a time; any thread sees it.
class RuleOff {
 public:
  explicit RuleOff(const std::string& rule);
  RuleOff(const RuleOff&) = delete;
  RuleOff& operator=(const RuleOff&) = delete;
  ~RuleOff();
};

// Keeps every thread of this process that reaches the sync point there, while
// it lives: a disk that stalls. At most one at a time.
class Stall {
 public:
  explicit Stall(const std::string& name);
  Stall(const Stall&) = delete;
  Stall& operator=(const Stall&) = delete;
  ~Stall();

  // Returns when a thread is kept there.
  void wait_until_reached() const;
};
#else
inline constexpr void sync_point_reached(std::string_view /*name*/) {}
inline constexpr bool rule_on(std::string_view /*rule*/) {
  return true;
}
#endif

}  // namespace pgrecast

#define PGRECAST_SYNC_POINT(name) ::pgrecast::sync_point_reached(name)
