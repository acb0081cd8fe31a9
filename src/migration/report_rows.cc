// What the script's statements do to a table's rows.

#include "reporting.h"

#include <utility>
#include <variant>

namespace pgrecast::migration {
namespace {

class RowChanges {
 public:
  explicit RowChanges(const script::Script& script) : script_(&script) {}

  void add(const script::Statement& statement) {
    line_ = statement.place.line;
    std::visit([this](const auto& body) { note(body); }, statement.body);
  }

  std::vector<RowChange> list() && { return std::move(changes_); }

 private:
  void note(const script::Update& update) {
    RowChange change{
        .line = line_, .columns = {}, .condition = {}, .left_behind = false};
    for (const script::Assignment& assignment : update.assignments) {
      change.columns.push_back(assignment.column);
    }
    if (update.where) change.condition = script_->slice(update.where->span);
    changes_.push_back(std::move(change));
  }

  void note(const script::Delete& gone) {
    changes_.push_back(
        {.line = line_,
         .columns = {},
         .condition = std::string(script_->slice(gone.where.span)),
         .left_behind = true});
  }

  void note(const script::AlterTable& alter) {
    for (const script::TypeChange& change : alter.type_changes) {
      if (!change.using_expression) continue;
      changes_.push_back({.line = line_,
                          .columns = {change.column},
                          .condition = {},
                          .left_behind = false});
    }
  }

  template <typename Other>
  void note(const Other& /*body*/) {}

  const script::Script* script_;
  int line_ = 0;
  std::vector<RowChange> changes_;
};

}  // namespace

Statements statements_of(const script::Script& script, const plan::Plan& plan,
                         std::size_t source) {
  Statements found;
  for (std::size_t i = 0; i < plan.subjects.size(); ++i) {
    if (plan.subjects[i] == source) found.push_back(&script.statements()[i]);
  }
  return found;
}

std::vector<RowChange> row_changes(const script::Script& script,
                                   const Statements& statements) {
  RowChanges changes(script);
  for (const script::Statement* statement : statements) changes.add(*statement);
  return std::move(changes).list();
}

}  // namespace pgrecast::migration
