#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/base/error.h"

#include <cstdint>
#include <optional>

namespace pgrecast::migration {

// Our slot keeps more WAL on the server than it may: it is given up, so that
// the primary's disk does not fill up.
class RetainedTooMuch : public Error {
 public:
  RetainedTooMuch(std::int64_t bytes, std::int64_t bytes_max);
};

// Watches over the WAL that our slot keeps. That shrinks only with the server's
// records of running transactions, every 15 s; so the limit counts as passed
// when for half a minute more than it was kept, and never less than before:
// a stream that catches up after a long stop is let be.
class RetainedLimit {
 public:
  explicit RetainedLimit(std::int64_t bytes_max) : bytes_max_(bytes_max) {}

  // What the slot keeps now. Warns at half of the limit. Throws
  // RetainedTooMuch.
  void look(std::int64_t bytes, Clock::time_point now = Clock::now());

 private:
  std::int64_t bytes_max_;
  bool warned_ = false;
  // While it is passed: the least that was kept, and since when no less was.
  std::int64_t least_ = 0;
  std::optional<Clock::time_point> least_since_;
};

}  // namespace pgrecast::migration
