#include "pgrecast/cli/native_text.h"

#include "pgrecast/base/text.h"
#include "pgrecast/cli/lines.h"

#include <fmt/format.h>

#include <algorithm>

namespace pgrecast::cli {
namespace {

using plan::NativeStep;

std::string lines_that_need_it(const std::vector<NativeStep>& steps) {
  std::vector<std::string> numbers;
  for (const NativeStep& step : steps) {
    if (!plan::needs_migration(step)) continue;
    const std::string number = std::to_string(step.line);
    if (numbers.empty() || numbers.back() != number) numbers.push_back(number);
  }
  return numbers.size() == 1
             ? "line " + numbers.front() + " needs a migration"
             : "lines " + join(numbers, ", ") + " need a migration";
}

std::string step_text(const NativeStep& step, std::size_t columns) {
  std::string lock = step.lock;
  if (!step.object.empty()) lock += " on " + step.object;
  std::string text = wrapped(
      fmt::format("  line {:<4} ", step.line),
      fmt::format("{}: {}", lock, plan::in_words(step.effect)), columns);
  if (!step.instead.empty()) {
    text += wrapped("            better: ", step.instead, columns);
  }
  return text;
}

}  // namespace

std::string native_text(const std::vector<NativeStep>& steps,
                        std::size_t columns) {
  if (steps.empty() || std::ranges::all_of(steps, plan::needs_migration)) {
    return "";
  }
  std::string text;
  if (plan::any_needs_migration(steps)) {
    text = "\nWithout a migration\n" +
           wrapped("  ",
                   fmt::format("Only {}. The server does the rest "
                               "by itself; what does not build on that can be "
                               "run by hand, with a lock_timeout, statement by "
                               "statement:",
                               lines_that_need_it(steps)),
                   columns);
  } else {
    text = "\nNo migration is needed\n" +
           wrapped("  ",
                   "The server does this script by itself, without a rewrite: "
                   "run it by hand, with a lock_timeout, statement by "
                   "statement:",
                   columns);
  }
  for (const NativeStep& step : steps) {
    if (!plan::needs_migration(step)) text += step_text(step, columns);
  }
  return text;
}

}  // namespace pgrecast::cli
