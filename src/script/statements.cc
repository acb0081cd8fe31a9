#include "statements.h"

#include "expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace pgrecast::script {
namespace {

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return result;
}

// "CREATE TABLE", "GRANT": how a person would name the statement.
std::string statement_words(const StatementReader& reader) {
  constexpr std::array<std::string_view, 3> kWithObject{"CREATE", "ALTER",
                                                        "DROP"};
  constexpr std::array<std::string_view, 12> kBetween{
      "OR",    "REPLACE", "TEMP",      "TEMPORARY", "UNLOGGED", "GLOBAL",
      "LOCAL", "UNIQUE",  "RECURSIVE", "TRUSTED",   "DEFAULT",  "PROCEDURAL"};
  std::string words = upper(reader.token(0));
  if (std::find(kWithObject.begin(), kWithObject.end(), words) ==
      kWithObject.end()) {
    return words;
  }
  for (std::size_t i = 1; i < reader.end(); ++i) {
    const std::string word = upper(reader.token(i));
    if (std::find(kBetween.begin(), kBetween.end(), word) == kBetween.end()) {
      return fmt::format("{} {}", words, word);
    }
  }
  return words;
}

}  // namespace

void refuse_statement(const StatementReader& reader) {
  reader.refuse(
      reader.span().begin,
      fmt::format("{} is not supported in a script", statement_words(reader)),
      "take it out of the script, and run it by hand before or after the "
      "migration");
}

namespace {

// Refuses the statement if it has the clause, at the clause's place.
void refuse_clause(const StatementReader& reader, const Tree& node,
                   const char* clause, std::string message,
                   std::string remedy) {
  const Tree& found = field(node, clause);
  if (found.is_null()) return;
  // WITH at offset 0 has no location of its own: zeros are left out.
  const auto at = found.is_array() ? first_location(found) : location(found);
  reader.refuse(at.value_or(reader.span().begin), std::move(message),
                std::move(remedy));
}

std::optional<std::string> alias_of(const Tree& range_var) {
  if (!has(range_var, "alias")) return std::nullopt;
  return text_field(field(range_var, "alias"), "aliasname");
}

void refuse_target(const StatementReader& reader, const Tree& target) {
  const std::size_t at = location(target).value_or(reader.span().begin);
  if (has(field(target, "val"), "MultiAssignRef")) {
    reader.refuse(at, "SET (a, b) = (..) assigns several columns at once",
                  "assign each column on its own: SET a = .., b = ..");
  }
  if (has(target, "indirection")) {
    reader.refuse(at,
                  fmt::format("only a part of the column {} is assigned",
                              text_field(target, "name")),
                  "assign the whole column, with an expression that builds the "
                  "new value");
  }
  if (has(field(target, "val"), "SetToDefault")) {
    reader.refuse(at, "SET .. = DEFAULT depends on the default of the moment",
                  "write the default's expression out");
  }
}

// `targets[i]` begins at its column; its expression begins behind the first "="
// and ends before the next target's comma, or at `assignments_end`.
std::vector<Assignment> take_assignments(const StatementReader& reader,
                                         const ExpressionScope& scope,
                                         const Tree& targets,
                                         std::size_t assignments_end) {
  std::vector<Assignment> result;
  for (const Tree& item : targets) {
    refuse_target(reader, field(item, "ResTarget"));
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Tree& target = field(targets[i], "ResTarget");
    const std::string column = text_field(target, "name");
    const std::size_t begin = reader.index_of(target);
    const bool again = std::any_of(
        result.begin(), result.end(),
        [&](const Assignment& before) { return before.column == column; });
    if (again) {
      reader.refuse(reader.offset(begin),
                    fmt::format("the column {} is assigned twice", column),
                    "assign it once");
    }
    std::size_t end = assignments_end;
    if (i + 1 < targets.size()) {
      end = reader.index_of(field(targets[i + 1], "ResTarget")) - 1;
    }
    const std::size_t behind_equals =
        std::min(reader.find(begin, end, "=") + 1, end);
    result.push_back(
        {.column = column,
         .expression = take_expression(reader, scope, behind_equals, end,
                                       field(target, "val"))});
  }
  return result;
}

Update take_update(const StatementReader& reader, const Tree& node) {
  constexpr auto kOwnColumns =
      "write an expression over the row's own columns; pgrecast evaluates it "
      "again whenever the row changes";
  refuse_clause(reader, node, "withClause", "UPDATE with WITH reads other rows",
                kOwnColumns);
  refuse_clause(reader, node, "fromClause", "UPDATE .. FROM reads other tables",
                kOwnColumns);
  refuse_clause(reader, node, "returningList",
                "RETURNING has nobody to return rows to",
                "leave RETURNING out");
  const Tree& relation = field(node, "relation");
  Update update;
  update.table = reader.table_name(relation);
  update.alias = alias_of(relation);
  const ExpressionScope scope{update.table, update.alias};
  const Tree& targets = field(node, "targetList");
  const std::size_t first_target =
      reader.index_of(field(targets.at(0), "ResTarget"));
  // Not before the targets: WHERE is reserved, but an alias may be quoted.
  const std::size_t where =
      has(node, "whereClause")
          ? reader.find_keyword(first_target, reader.end(), "where")
          : reader.end();
  update.assignments = take_assignments(reader, scope, targets, where);
  if (has(node, "whereClause")) {
    update.where = take_expression(reader, scope, where + 1, reader.end(),
                                   field(node, "whereClause"));
  }
  return update;
}

Delete take_delete(const StatementReader& reader, const Tree& node) {
  constexpr auto kOwnColumns =
      "write a condition over the row's own columns; pgrecast evaluates it "
      "again whenever the row changes";
  refuse_clause(reader, node, "withClause", "DELETE with WITH reads other rows",
                kOwnColumns);
  refuse_clause(reader, node, "usingClause",
                "DELETE .. USING reads other tables", kOwnColumns);
  refuse_clause(reader, node, "returningList",
                "RETURNING has nobody to return rows to",
                "leave RETURNING out");
  if (!has(node, "whereClause")) {
    reader.refuse(reader.span().begin,
                  "DELETE without WHERE leaves no row to migrate",
                  "add a condition, or TRUNCATE the table by hand");
  }
  const Tree& relation = field(node, "relation");
  Delete result;
  result.table = reader.table_name(relation);
  result.alias = alias_of(relation);
  const std::size_t where = reader.find_keyword(0, reader.end(), "where");
  result.where =
      take_expression(reader, {result.table, result.alias}, where + 1,
                      reader.end(), field(node, "whereClause"));
  return result;
}

// ALTER TABLE t RENAME ..
StatementBody take_rename_in_table(const StatementReader& reader,
                                   const Tree& node) {
  const std::string what = text_field(node, "renameType");
  if (what == "OBJECT_TABLE") {
    reader.refuse(reader.span().begin,
                  "ALTER TABLE .. RENAME TO gives the table another name",
                  "rename it by hand after the migration");
  }
  if (what == "OBJECT_TABCONSTRAINT") {
    return RenameConstraint{.table = reader.table_name(field(node, "relation")),
                            .if_exists = flag_field(node, "missing_ok"),
                            .from = text_field(node, "subname"),
                            .to = text_field(node, "newname")};
  }
  RenameColumn rename;
  rename.table = reader.table_name(field(node, "relation"));
  rename.if_exists = flag_field(node, "missing_ok");
  rename.from = text_field(node, "subname");
  rename.to = text_field(node, "newname");
  return rename;
}

StatementBody take_rename(const StatementReader& reader, const Tree& node) {
  if (reader.is_keyword(1, "table")) return take_rename_in_table(reader, node);
  const bool of_index = text_field(node, "renameType") == "OBJECT_INDEX";
  if (!of_index) refuse_statement(reader);
  return take_alter_index(reader, node);
}

StatementBody take_drop(const StatementReader& reader, const Tree& node) {
  const std::string what = text_field(node, "removeType");
  if (what == "OBJECT_INDEX") return take_drop_index(reader, node);
  if (what == "OBJECT_STATISTIC_EXT") return take_drop_statistics(reader, node);
  refuse_statement(reader);
}

StatementBody take_alter(const StatementReader& reader, const Tree& node) {
  const std::string what = text_field(node, "objtype");
  if (what == "OBJECT_TABLE") return take_alter_table(reader, node);
  if (what == "OBJECT_INDEX") return take_alter_index(reader, node);
  refuse_statement(reader);
}

// On the shadow, which stands in another schema, such a name finds nothing,
// wherever it stands: a CHECK, an index, a default.
void refuse_columns_with_schema(const StatementReader& reader,
                                const Tree& tree) {
  if (!tree.is_structured()) return;
  const Tree& column = field(tree, "ColumnRef");
  if (const Tree& fields = field(column, "fields"); fields.size() > 2) {
    const std::vector<std::string> parts = string_list(fields);
    const std::string name =
        parts.back().empty() ? std::string("*") : parts.back();
    reader.refuse(location(column).value_or(reader.span().begin),
                  fmt::format("the column {} is qualified with a schema, and "
                              "the shadow is in another one",
                              name),
                  fmt::format("write {}.{}", parts[parts.size() - 2], name));
  }
  for (const Tree& child : tree) refuse_columns_with_schema(reader, child);
}

}  // namespace

StatementBody classify(const StatementReader& reader, const Tree& statement) {
  const std::string name = statement.begin().key();
  const Tree& node = statement.begin().value();
  refuse_columns_with_schema(reader, node);
  if (name == "AlterTableStmt") return take_alter(reader, node);
  if (name == "RenameStmt") return take_rename(reader, node);
  if (name == "UpdateStmt") return take_update(reader, node);
  if (name == "DeleteStmt") return take_delete(reader, node);
  if (name == "IndexStmt") return take_create_index(reader, node);
  if (name == "CreateStmt") return take_create_table(reader, node);
  if (name == "DropStmt") return take_drop(reader, node);
  if (name == "VariableSetStmt") return take_set(reader, node);
  if (name == "TransactionStmt") return take_transaction(reader, node);
  if (name == "CommentStmt") return take_comment(reader, node);
  if (name == "GrantStmt") return take_grant(reader, node);
  if (name == "CreateStatsStmt") return take_create_statistics(reader, node);
  if (name == "AlterObjectSchemaStmt" && reader.is_keyword(1, "table")) {
    reader.refuse(reader.span().begin,
                  "ALTER TABLE .. SET SCHEMA moves the table",
                  "move it by hand after the migration");
  }
  refuse_statement(reader);
}

}  // namespace pgrecast::script
