#include "pgrecast/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace pgrecast {

void assertion_failed(const char* file, int line, const char* condition,
                      const std::string& values) {
  fmt::print(stderr, "{}:{}: assertion failed: {} ({})\n", file, line,
             condition, values);
  static_cast<void>(std::fflush(stderr));  // the end, whatever it says
  std::abort();
}

}  // namespace pgrecast
