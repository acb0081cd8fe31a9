#pragma once

#include <algorithm>
#include <chrono>

namespace pgrecast {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The moment at which a wait gives up. Every wait has one.
class Deadline {
 public:
  static Deadline in(Clock::duration time) {
    return Deadline(Clock::now() + time);
  }
  // For waits that only a stop request, or the server, may end: index builds.
  static Deadline never() { return Deadline(Clock::time_point::max()); }

  bool passed() const { return Clock::now() >= at_; }
  bool is_never() const { return at_ == Clock::time_point::max(); }
  Clock::time_point at() const { return at_; }

  // What is left, at least zero; a day at most, so that poll() can take it.
  milliseconds left() const {
    constexpr milliseconds kDay = std::chrono::hours(24);
    if (is_never()) return kDay;
    const auto left = std::chrono::ceil<milliseconds>(at_ - Clock::now());
    return std::clamp(left, milliseconds(0), kDay);
  }

  Deadline earlier(Deadline other) const {
    return Deadline(std::min(at_, other.at_));
  }

 private:
  explicit Deadline(Clock::time_point at) : at_(at) {}

  Clock::time_point at_;
};

}  // namespace pgrecast
