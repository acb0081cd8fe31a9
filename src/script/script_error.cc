#include "pgrecast/script/script_error.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/text.h"

#include <utility>

namespace pgrecast::script {
namespace {

std::string all_formatted(const std::vector<ScriptProblem>& problems) {
  std::vector<std::string> parts;
  parts.reserve(problems.size());
  for (const ScriptProblem& problem : problems) {
    parts.push_back(problem.formatted);
  }
  return join(parts, "\n");
}

}  // namespace

ScriptError::ScriptError(std::vector<ScriptProblem> problems)
    : Error(all_formatted(problems), Remedy::kFail),
      problems_(std::move(problems)) {
  PGRECAST_ASSERT(!problems_.empty(), "a ScriptError without a problem");
}

}  // namespace pgrecast::script
