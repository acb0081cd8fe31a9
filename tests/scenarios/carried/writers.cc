#include "scenarios/carried/writers.h"

#include "support/eventually.h"

#include <stop_token>
#include <utility>

namespace pgrecast::test {

Writers::Writers(std::string dsn) : dsn_(std::move(dsn)) {}

Writers::~Writers() {
  stop();
}

void Writers::add(int number, const Body& body) {
  for (int i = 0; i < number; ++i) {
    const auto seed = static_cast<unsigned>(threads_.size() + 1);
    threads_.emplace_back([this, body, seed](const std::stop_token& stop) {
      work(body, seed, stop);
    });
  }
}

void Writers::work(const Body& body, unsigned seed,
                   const std::stop_token& stop) {
  std::mt19937 random(seed);
  Session session(dsn_);
  while (!stop.stop_requested()) {
    std::string state = kSuccess;
    try {
      body(session, random);
    } catch (const SqlFailure& failure) {
      state = failure.sqlstate();
      session.try_exec("ROLLBACK");
    }
    {
      const std::lock_guard lock(mutex_);
      if (state == kSuccess) {
        ++done_;
      } else {
        ++refused_[state];
      }
    }
    // A light load; nothing waits for this.
    std::this_thread::sleep_for(milliseconds(3));
  }
}

void Writers::stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

long Writers::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

std::map<std::string, long> Writers::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

bool Writers::go_on(long count) const {
  const long until = done() + count;
  return eventually([&] { return done() >= until; });
}

}  // namespace pgrecast::test
