#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include "folder.h"
#include "key_conversion.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {

using catalog::Column;
using pg::quote_identifier;

void Folder::apply(const script::Statement& statement,
                   const script::AlterTable& body) {
  Folding& folding = folding_of(statement, body.table);
  for (const script::TypeChange& change : body.type_changes) {
    if (change.using_expression) {
      check_expression(folding, *change.using_expression, std::nullopt);
    }
  }
  for (const script::Subcommand& subcommand : body.subcommands) {
    if (subcommand.kind == script::AlterKind::kDropConstraint) {
      drop_foreign_key(folding, subcommand.span.begin, subcommand.name);
    }
  }
  run_alter_table(statement, folding, body);
  reshape(statement, folding, body);
  drop_foreign_keys_of_lost_columns(folding);
  // Of columns, reshape() tells. What is not told counts as unchanged.
  for (const script::Subcommand& subcommand : body.subcommands) {
    if (subcommand.kind == script::AlterKind::kColumnType ||
        subcommand.kind == script::AlterKind::kAddColumn ||
        subcommand.kind == script::AlterKind::kAddForeignKey ||
        subcommand.kind == script::AlterKind::kDropColumn) {
      continue;
    }
    folding.changes.emplace_back(script_->slice(subcommand.span));
  }
}

void Folder::apply(const script::Statement& statement,
                   const script::RenameColumn& body) {
  Folding& folding = folding_of(statement, body.table);
  run_on_clone(statement, folding);
  reshape(statement, folding, {});
}

void Folder::apply(const script::Statement& statement,
                   const script::RenameConstraint& body) {
  Folding& folding = folding_of(statement, body.table);
  refuse_foreign_key(folding, statement.span.begin, body.from);
  run_on_clone(statement, folding);
  folding.changes.push_back(
      fmt::format("constraint {} renamed to {}", body.from, body.to));
}

// ADD COLUMN .. DEFAULT, and SET DEFAULT in the same statement: the rows have
// the first, and the clone shows the last.
void Folder::refuse_first_default(const script::AlterTable& alter,
                                  const script::DefaultChange& second,
                                  bool of_domain) {
  const auto added =
      std::ranges::find(alter.added, second.column, &script::AddedColumn::name);
  const bool first = added != alter.added.end() &&
                     (added->default_expression || added->serial);
  if (!first && !of_domain) return;
  refuse(second.expression->span.begin,
         fmt::format("column {} is added with a default, and gets another in "
                     "the same statement: the rows would have the first",
                     second.column),
         "set the other by a statement of its own, behind this one");
}

// The value that existing rows have in a column that was just added.
std::string Folder::added_value(const script::Statement& statement,
                                Folding& folding, const Column& column,
                                const script::AlterTable& alter) {
  const std::string null = fmt::format("CAST(NULL AS {})", column.cast_type);
  const auto each_row = [&](const std::string& what) {
    folding.made_anew[column.attnum] = made_by(column);
    notes_.push_back(fmt::format(
        "{}.{}: {} gives each row a value of its own, and a new one when the "
        "row changes before the cutover; the verification leaves it out",
        folding.table->source.name.display(), column.name, what));
    return null;
  };
  if (column.identity) return each_row("an identity");
  const auto second = std::ranges::find_if(
      alter.defaults, [&](const script::DefaultChange& change) {
        return change.column == column.name && change.expression.has_value();
      });
  const bool has_second = second != alter.defaults.end();
  const auto made = default_of(folding, column, !has_second);
  if (has_second) refuse_first_default(alter, *second, made.has_value());
  if (!made || !rule_on("fold_default")) return null;
  computes_values(statement);
  const auto& [printed, tree] = *made;
  ValueRules::DefaultValue value;
  try {
    value = rules_.of_default(folding.table->shadow, printed, tree);
  } catch (const pg::SqlError& error) {
    refuse(statement.span.begin,
           fmt::format("the default of column {} gives no value: {}",
                       column.name, error.what()),
           "correct the default");
  }
  switch (value.kind) {
    case ValueRules::Default::kEachRow:
      return each_row(fmt::format("DEFAULT {}", printed));
    case ValueRules::Default::kOnce:
      return value.literal ? assigned(*value.literal, column) : null;
    case ValueRules::Default::kImmutable:
      break;
  }
  return assigned(fmt::format("({})", printed), column);
}

std::optional<std::pair<std::string, std::string>> Folder::default_of(
    const Folding& folding, const Column& column, bool own) {
  const pg::Result result = connection_->exec(
      R"sql(
SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid), d.adbin::pg_catalog.text, 1 AS rank
FROM pg_catalog.pg_attrdef d
WHERE d.adrelid = $1::pg_catalog.oid AND d.adnum = $2::pg_catalog.int2
  AND $4::pg_catalog.bool
UNION ALL
SELECT pg_catalog.pg_get_expr(t.typdefaultbin, 0), t.typdefaultbin::pg_catalog.text, 2
FROM pg_catalog.pg_type t
WHERE t.oid = $3::pg_catalog.oid AND t.typtype = 'd' AND t.typdefaultbin IS NOT NULL
ORDER BY rank)sql",
      {folding.shadow_oid, column.attnum, column.type_oid, own ? "t" : "f"});
  if (result.empty()) return std::nullopt;
  return std::pair(std::string(result.text(0, 0)),
                   std::string(result.text(0, 1)));
}

// Reads what the statement made of the clone's columns, and follows.
void Folder::reshape(const script::Statement& statement, Folding& folding,
                     const script::AlterTable& alter) {
  const std::vector<Column> before = std::move(folding.columns);
  folding.columns = catalog::read_columns(*connection_, folding.shadow_oid);
  std::vector<std::string> list;
  std::set<std::string> live;
  for (const Column& column : folding.columns) {
    const std::string name = quote_identifier(column.name);
    const Column* old = find_attnum(before, column.attnum);
    const bool known = old != nullptr && folding.live.contains(old->name);
    if (column.generated) {
      // The server computes it on insert. A source's is there to be read by
      // expressions as long as neither its own nor what it may depend on has
      // changed; in a whole new shape all may have.
      if (known && !folding.recreated && column.type == old->type &&
          alter.type_changes.empty()) {
        list.push_back(quote_identifier(old->name) + " AS " + name);
        live.insert(column.name);
      }
      continue;
    }
    live.insert(column.name);
    if (old == nullptr) {
      list.push_back(added_value(statement, folding, column, alter) + " AS " +
                     name);
      folding.changes.push_back(
          fmt::format("column {} added, {}", column.name, column.type));
      continue;
    }
    if (!known) {
      refuse(
          statement.span.begin,
          fmt::format("column {} was generated, and its values are not known "
                      "any more at this statement",
                      old->name),
          "put this statement first, or in a migration of its own");
    }
    if (old->name != column.name) {
      folding.changes.push_back(
          fmt::format("column {} renamed to {}", old->name, column.name));
    }
    const auto change = std::ranges::find(alter.type_changes, old->name,
                                          &script::TypeChange::column);
    const bool changed = change != alter.type_changes.end() ||
                         old->type != column.type ||
                         old->collation != column.collation;
    if (!changed) {
      list.push_back(quote_identifier(old->name) + " AS " + name);
      continue;
    }
    computes_values(statement);
    change_key(statement, folding, *old, column,
               change == alter.type_changes.end() ? nullptr : &*change);
    const bool has_using = change != alter.type_changes.end() &&
                           change->using_expression.has_value();
    list.push_back(assigned(has_using
                                ? expression_text(*change->using_expression)
                                : quote_identifier(old->name),
                            column) +
                   " AS " + name);
    folding.changes.push_back(
        old->type == column.type && old->collation != column.collation
            ? fmt::format("column {} gets another collation", column.name)
            : fmt::format("column {} from {} to {}{}", column.name, old->type,
                          column.type, has_using ? ", by USING" : ""));
  }
  for (const Column& old : before) {
    if (find_attnum(folding.columns, old.attnum) != nullptr) continue;
    folding.changes.push_back(fmt::format("column {} dropped", old.name));
    for (const auto& [attnum, value] : folding.key) {
      if (attnum != old.attnum) continue;
      refuse(statement.span.begin,
             fmt::format("column {} belongs to the key, which must stay",
                         old.name),
             kKeyRemedy);
    }
  }
  folding.live = std::move(live);
  wrap(folding, join(list, ", "), source_alias(folding), "");
}

void Folder::change_key(const script::Statement& statement, Folding& folding,
                        const Column& before, const Column& after,
                        const script::TypeChange* change) {
  for (auto& [attnum, value] : folding.key) {
    if (attnum != before.attnum) continue;
    if (change != nullptr && change->using_expression &&
        !change->using_is_plain) {
      refuse(change->using_expression->span.begin,
             fmt::format("column {} belongs to the key, and two keys could "
                         "become one by this expression",
                         before.name),
             kKeyRemedy);
    }
    if (const auto problem = key_conversion_problem(before, after)) {
      refuse(change != nullptr ? change->type.begin : statement.span.begin,
             fmt::format("column {} belongs to the key: {}", before.name,
                         *problem),
             kKeyRemedy);
    }
    value = fmt::format("CAST({} AS {})", value, after.cast_type);
  }
}

}  // namespace pgrecast::plan
