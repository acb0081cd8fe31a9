#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/script/source_text.h"

#include <string>
#include <vector>

namespace pgrecast::script {

// One thing that is wrong with a script.
struct ScriptProblem {
  enum class Kind {
    kSyntax,   // PostgreSQL's parser (version 15) cannot read it
    kRefused,  // it is SQL that pgrecast does not take
  };

  Kind kind = Kind::kRefused;
  Place place;
  std::string message;    // one sentence, without the place
  std::string remedy;     // what the author can do
  std::string formatted;  // SourceText::message_at of the three
};

// A script that cannot be a migration. Holds the first problem of each
// statement, in their order; a syntax error stands alone, because nothing
// behind it can be told apart. what() is every `formatted`, one below another.
class ScriptError : public Error {
 public:
  explicit ScriptError(std::vector<ScriptProblem> problems);

  const std::vector<ScriptProblem>& problems() const { return problems_; }

  // Of the first problem.
  ScriptProblem::Kind kind() const { return problems_.front().kind; }

 private:
  std::vector<ScriptProblem> problems_;
};

}  // namespace pgrecast::script
