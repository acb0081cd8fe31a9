#pragma once

#include "support/session.h"

#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace pgrecast::test {

// Sessions that do the same again and again, with a pause of some milliseconds
// in between, until stop(). Use from one thread.
class Writers {
 public:
  // One transaction; on the writer's own thread and session. May throw
  // SqlFailure, which is counted (an open transaction is rolled back).
  using Body = std::function<void(Session&, std::mt19937&)>;

  explicit Writers(std::string dsn);
  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;
  ~Writers();

  // `number` of sessions that do `body`.
  void add(int number, const Body& body);

  // Ends every transaction in its own time.
  void stop();

  long done() const;
  // What was refused, by SQLSTATE.
  std::map<std::string, long> refused() const;
  // Returns when `count` more are done. False where that takes too long.
  bool go_on(long count) const;

 private:
  void work(const Body& body, unsigned seed, const std::stop_token& stop);

  std::string dsn_;
  mutable std::mutex mutex_;
  long done_ = 0;                        // guarded by mutex_
  std::map<std::string, long> refused_;  // guarded by mutex_
  std::vector<std::jthread> threads_;
};

}  // namespace pgrecast::test
