#pragma once

#include <fmt/format.h>

#include <string>

namespace pgrecast {

// Prints and aborts. Crashing is safe: until the exchange commits, no row of a
// source was touched, and a resume starts from durable positions. Running on
// with a wrong position is what loses rows.
[[noreturn]] void assertion_failed(const char* file, int line,
                                   const char* condition,
                                   const std::string& values);

}  // namespace pgrecast

// Stays on in every build. For what *we* promise; never for what came from a
// server, a disk, a socket or a person. After the condition comes a format
// string with the values that explain it: PGRECAST_ASSERT(a < b, "a={}", a).
#define PGRECAST_ASSERT(condition, ...)                            \
  do {                                                             \
    if (!(condition)) {                                            \
      ::pgrecast::assertion_failed(__FILE__, __LINE__, #condition, \
                                   ::fmt::format(__VA_ARGS__));    \
    }                                                              \
  } while (false)
