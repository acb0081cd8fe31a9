#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/fold.h"
#include "pgrecast/script/script.h"

#include "node_tree.h"
#include "script_settings.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgrecast::plan {

// A row is made by the same expressions again and again, whenever it changes:
// so they must give the same value each time. The server says which do.
//
// Within one transaction of the caller's, on its thread. SqlError where the
// expression itself is wrong; its position is one in the expression.
class ValueRules {
 public:
  ValueRules(pg::Connection& connection, ScriptSettings& settings,
             const FoldRules& rules);

  // now(), CURRENT_DATE and their like in the expression, and what stands in
  // their place: values of the one moment that the whole migration has. Those
  // of CURRENT_USER and its like are taken now.
  std::vector<script::Replacement> frozen(const script::Script& script,
                                          const script::Expression& expression);

  struct Problem {
    Refusal refusal;
    std::string function;  // its bare name, "" where it is none
  };
  // Why it may give another value each time; nullopt where it does not.
  // `expression` is over the columns of `table`, in the script's words.
  std::optional<Problem> problem(const catalog::QualifiedName& table,
                                 const std::string& expression);

  enum class Default { kImmutable, kOnce, kEachRow };
  struct DefaultValue {
    Default kind = Default::kImmutable;
    // kOnce: a literal, nullopt for NULL.
    std::optional<std::string> literal;
  };
  // What ADD COLUMN gives the rows that there are. `printed` is the default's
  // expression as the server prints it, `tree` what it stores of it.
  DefaultValue of_default(const catalog::QualifiedName& table,
                          const std::string& printed, const std::string& tree);

  // For people: what was frozen; what was let pass.
  std::vector<std::string> notes() const;
  std::vector<std::string> warnings() const;

 private:
  struct Function {
    std::string signature;
    std::string name;
    char volatility = 'v';
    bool builtin = false;
  };

  bool is_immutable(const catalog::QualifiedName& table,
                    const std::string& expression);
  std::vector<NodeUse> uses_of(const catalog::QualifiedName& table,
                               const std::string& expression);
  std::optional<Problem> problem_of(const NodeUse& use);
  std::optional<Problem> problem_of_function(const NodeUse& use);
  bool passes(Oid oid, const Function& function);
  std::optional<Problem> problem_of_type(Oid type, bool input);
  Function read_function(Oid oid);
  Oid called_by(const NodeUse& use);
  std::optional<std::string> evaluated(const std::string& expression);
  bool is_now(const script::FunctionUse& use, const std::string& call);
  void find_assumed();
  Oid find_function(const std::string& name);

  pg::Connection* connection_;
  ScriptSettings* settings_;
  const FoldRules* rules_;
  std::map<Oid, std::string> assumed_;  // signatures
  bool assumed_found_ = false;
  std::set<Oid> let_pass_;  // of those assumed
  int passed_ = 0;          // functions that are not immutable, and do no harm
  bool froze_ = false;
};

}  // namespace pgrecast::plan
