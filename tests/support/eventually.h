#pragma once

#include "pgrecast/base/deadline.h"

#include <chrono>
#include <thread>

namespace pgrecast::test {

// Generous: a loaded machine must not fail a test. Nothing waits this long
// unless something is broken.
inline constexpr std::chrono::seconds kPatience{30};

// Waits until `condition()` is true, asking it every few milliseconds. Returns
// false when the deadline passed first. For what offers nothing to wait on; a
// test never sleeps and hopes.
//
//   ASSERT_TRUE(eventually([&] { return session.query_value(..) == "0"; }));
template <typename Condition>
bool eventually(Condition condition,
                Deadline deadline = Deadline::in(kPatience)) {
  constexpr milliseconds kPoll{5};
  while (!condition()) {
    if (deadline.passed()) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

}  // namespace pgrecast::test
