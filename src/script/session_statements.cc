#include "statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace pgrecast::script {
namespace {

struct RefusedSetting {
  std::string_view name;
  std::string_view reason;
  std::string_view remedy;
};

// Those that people do set in scripts, each with its own reason. What else is
// not known is refused later, by a list of what is.
constexpr std::array kRefused{
    RefusedSetting{"role",
                   "what is made must belong to the owner of the table it "
                   "replaces",
                   "take it out; connect as the role that shall do it"},
    RefusedSetting{"session_authorization",
                   "what is made must belong to the owner of the table it "
                   "replaces",
                   "take it out; connect as the role that shall do it"},
    RefusedSetting{"session_replication_role",
                   "the new table is filled before it has any trigger",
                   "take it out: no trigger fires anyway"},
    RefusedSetting{"transaction_isolation",
                   "pgrecast chooses its transactions itself", "take it out"},
    RefusedSetting{"transaction_read_only",
                   "pgrecast chooses its transactions itself", "take it out"},
    RefusedSetting{"transaction_deferrable",
                   "pgrecast chooses its transactions itself", "take it out"},
    RefusedSetting{"default_transaction_isolation",
                   "pgrecast chooses its transactions itself", "take it out"},
    RefusedSetting{"default_transaction_read_only",
                   "pgrecast chooses its transactions itself", "take it out"},
    RefusedSetting{"default_transaction_deferrable",
                   "pgrecast chooses its transactions itself", "take it out"},
};

}  // namespace

SetVariable take_set(const StatementReader& reader, const Tree& node) {
  const std::string kind = text_field(node, "kind");
  SetVariable set;
  set.name = text_field(node, "name");
  set.local = flag_field(node, "is_local");
  if (kind == "VAR_SET_MULTI") {
    reader.refuse(
        reader.span().begin,
        fmt::format("SET {}: pgrecast chooses its transactions itself",
                    set.name),
        "take it out");
  }
  if (kind == "VAR_RESET_ALL") {
    set.kind = SetVariable::Kind::kResetAll;
  } else if (kind == "VAR_RESET" || kind == "VAR_SET_DEFAULT") {
    set.kind = SetVariable::Kind::kReset;
  } else if (kind != "VAR_SET_VALUE") {
    reader.refuse(reader.span().begin,
                  fmt::format("this form of SET {} has no value", set.name),
                  "write the value");
  }
  const auto refused = std::find_if(
      kRefused.begin(), kRefused.end(),
      [&](const RefusedSetting& one) { return one.name == set.name; });
  if (refused != kRefused.end()) {
    reader.refuse(reader.span().begin,
                  fmt::format("{} cannot be set in a script: {}", set.name,
                              refused->reason),
                  std::string(refused->remedy));
  }
  return set;
}

TransactionMark take_transaction(const StatementReader& reader,
                                 const Tree& node) {
  const std::string kind = text_field(node, "kind");
  if (kind == "TRANS_STMT_BEGIN" || kind == "TRANS_STMT_START") {
    return {.begins = true};
  }
  if (kind == "TRANS_STMT_COMMIT") {
    return {.begins = false, .chain = flag_field(node, "chain")};
  }
  const bool takes_back =
      kind == "TRANS_STMT_ROLLBACK" || kind == "TRANS_STMT_ROLLBACK_TO";
  if (takes_back) {
    reader.refuse(reader.span().begin,
                  "ROLLBACK takes back what the script said before",
                  "leave out the statements that shall not take effect, and "
                  "the ROLLBACK");
  }
  reader.refuse(reader.span().begin,
                "a script takes effect as a whole, at the cutover: it has no "
                "savepoints and no prepared transactions",
                "take it out");
}

}  // namespace pgrecast::script
