#include "pgrecast/plan/fold.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/error.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/clone.h"
#include "pgrecast/plan/partitions.h"

#include "key_conversion.h"
#include "new_shape.h"
#include "script_grants.h"
#include "script_settings.h"
#include "script_statistics.h"
#include "value_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace pgrecast::plan {
namespace {

using catalog::Column;
using pg::quote_identifier;

constexpr const char* kKeyRemedy =
    "leave the key's columns as they are, or widen them only (for instance "
    "integer to bigint)";

// A table while the script is being folded into it.
struct Folding {
  const FoldTable* table = nullptr;
  catalog::Oid shadow_oid = 0;
  // The query so far is head + " WHERE condition" + tail; it yields the
  // columns in `live`, and the places of the source's rows. The head has a
  // hole where the source goes.
  std::string head;
  std::string tail;
  std::string ctid_column;
  std::string heap_column;
  std::vector<Column> columns;  // of the clone, now
  std::vector<Column> at_first;
  std::set<std::string> live;  // those of them that the query yields
  // Added columns whose default is evaluated anew for each row, by the shadow
  // itself: attnum, and how the column makes its values.
  std::map<int, std::string> made_anew;
  std::vector<std::pair<int, std::string>> key;  // attnum on the clone, value
  std::vector<std::string> changes;
  // CREATE TABLE named its whole shape anew; its partitions by name.
  bool recreated = false;
  std::set<std::string> partitions;
  ScriptGrants grants;
  std::size_t first_grant = 0;  // where it stands
  std::vector<catalog::QualifiedName> dropped_statistics;
};

std::string places(const Folding& folding) {
  return folding.ctid_column + ", " + folding.heap_column;
}

std::string source_alias(const Folding& folding) {
  return quote_identifier(folding.table->source.name.name);
}

const Column* find_attnum(const std::vector<Column>& columns, int attnum) {
  const auto found = std::ranges::find(columns, attnum, &Column::attnum);
  return found == columns.end() ? nullptr : &*found;
}

// As an UPDATE by hand assigns: what is too long is an error, unless only
// blanks need to be cut off; char(n) is filled up. (A cast to varchar(n) would
// cut anything off.)
std::string assigned(const std::string& value, const Column& column) {
  const std::string cast =
      fmt::format("CAST({} AS {})", value, column.cast_type);
  if (column.base_modifier < 0) return cast;
  constexpr catalog::Oid kBpchar = 1042;
  constexpr catalog::Oid kVarchar = 1043;
  constexpr catalog::Oid kBit = 1560;
  constexpr catalog::Oid kVarbit = 1562;
  const char* length_check = nullptr;
  switch (column.base_type_oid) {
    case kBpchar:
      length_check = "bpchar";
      break;
    case kVarchar:
      length_check = "varchar";
      break;
    case kBit:
      length_check = "bit";
      break;
    case kVarbit:
      length_check = "varbit";
      break;
    default:
      return cast;
  }
  return fmt::format("pg_catalog.{}({}, {}, false)",
                     quote_identifier(length_check), cast,
                     column.base_modifier);
}

// How a column makes its values by itself.
std::string made_by(const Column& column) {
  return column.identity ? "identity" : column.default_expression.value_or("");
}

class Folder {
 public:
  Folder(pg::Connection& connection, const script::Script& script,
         const FoldRules& rules)
      : connection_(&connection),
        script_(&script),
        settings_(connection, script, rules.settings),
        rules_(connection, settings_, rules) {}
  Folder(const Folder&) = delete;  // rules_ points into it
  Folder& operator=(const Folder&) = delete;

  Folded fold(const std::vector<FoldTable>& tables);

 private:
  Folding begin(const FoldTable& table);
  bool follows_refused(const script::Statement& statement);
  void apply_or_note(const script::Statement& statement);
  void apply(const script::Statement& statement,
             const script::AlterTable& body);
  void apply(const script::Statement& statement,
             const script::RenameColumn& body);
  void apply(const script::Statement& statement, const script::Update& body);
  void apply(const script::Statement& statement, const script::Delete& body);
  void apply(const script::Statement& statement,
             const script::CreateIndex& body);
  void apply(const script::Statement& statement, const script::DropIndex& body);
  void apply(const script::Statement& statement,
             const script::CreateTable& body);
  void apply(const script::Statement& statement,
             const script::CreatePartition& body);
  void apply(const script::Statement& statement,
             const script::SetVariable& body);
  void apply(const script::Statement& statement,
             const script::TransactionMark& body);
  void apply(const script::Statement& statement,
             const script::RenameConstraint& body);
  void apply(const script::Statement& statement,
             const script::AlterIndex& body);
  void apply(const script::Statement& statement,
             const script::CommentOnTable& body);
  void apply(const script::Statement& statement,
             const script::CommentOnObject& body);
  void apply(const script::Statement& statement,
             const script::ChangeGrants& body);
  void apply(const script::Statement& statement,
             const script::CreateStatistics& body);
  void apply(const script::Statement& statement,
             const script::DropStatistics& body);

  // The rows are made by one query, and so under one set of settings: every
  // statement that puts a computed value or a condition into it says so here.
  void computes_values(const script::Statement& statement);
  Folding* owner_of(const script::ObjectName& index);
  Folding* made_statistics(const script::ObjectName& name);
  Folding* source_statistics(const script::ObjectName& name);
  void finish_grants(Folding& folding, TableTarget& target);
  Folding& folding_of(const script::Statement& statement,
                      const script::TableName& name);
  void run_on_clone(const script::Statement& statement, Folding& folding);
  void run_script_sql(const script::Statement& statement,
                      const std::string& sql);
  void reshape(const script::Statement& statement, Folding& folding,
               const std::vector<script::TypeChange>& type_changes);
  std::string added_value(const script::Statement& statement, Folding& folding,
                          const Column& column);
  // How ADD COLUMN fills the column, as printed and as stored; the domain's
  // default where the column has none.
  std::optional<std::pair<std::string, std::string>> default_of(
      const Folding& folding, const Column& column);
  void change_key(const script::Statement& statement, Folding& folding,
                  const Column& before, const Column& after,
                  const script::TypeChange* change);
  void check_expression(const Folding& folding,
                        const script::Expression& expression,
                        const std::optional<std::string>& alias);
  void refuse_foreign_key(const Folding& folding, std::size_t offset,
                          const std::string& name);
  std::string expression_text(const script::Expression& expression) const;
  void follow_names(const script::Statement& statement, Folding& folding);
  Folding* made_anew_by_script(const script::TableName& name);
  void check_named_columns(const script::Statement& statement,
                           const Folding& folding,
                           const std::vector<Column>& before);
  TableTarget finish(Folding& folding, std::uint32_t ordinal);
  void choose_indexes(Folding& folding, TableTarget& target);
  void try_select(Folding& folding, const TableTarget& target);

  [[noreturn]] void refuse(std::size_t offset, const std::string& what,
                           const std::string& remedy) const {
    throw Refused(script_->error_at(offset, what, ""), remedy);
  }

  pg::Connection* connection_;
  const script::Script* script_;
  ScriptSettings settings_;
  std::vector<Refusal> refusals_;
  std::set<catalog::Oid> lost_;  // sources with a refused statement
  ValueRules rules_;
  // By an expression's place: what stands for now() and its like in it.
  std::map<std::size_t, std::vector<script::Replacement>> frozen_;
  // Those under which the rows are made, once a statement computes values.
  std::optional<catalog::Settings> made_under_;
  std::vector<Folding> foldings_;
  std::vector<std::string> notes_;
};

// Puts one more query around what there is.
void wrap(Folding& folding, const std::string& list, const std::string& alias,
          const std::string& where) {
  folding.head = fmt::format("SELECT {}, {} FROM ({}", list, places(folding),
                             folding.head);
  folding.tail +=
      fmt::format(") AS {}{}", alias, where.empty() ? "" : " WHERE " + where);
}

Folding Folder::begin(const FoldTable& table) {
  Folding folding;
  folding.table = &table;
  folding.shadow_oid = catalog::find_relation(*connection_, table.shadow.schema,
                                              table.shadow.name)
                           .value();
  folding.columns = catalog::read_columns(*connection_, folding.shadow_oid);
  folding.at_first = folding.columns;
  const auto free_name = [&](std::string name) {
    while (table.source.column(name) != nullptr) name += '_';
    return quote_identifier(name);
  };
  folding.ctid_column = free_name("pgrecast_ctid");
  folding.heap_column = free_name("pgrecast_heap");
  std::vector<std::string> list;
  const std::string alias = source_alias(folding);
  for (const Column& column : table.source.columns) {
    list.push_back(alias + "." + quote_identifier(column.name));
    folding.live.insert(column.name);
  }
  folding.head = fmt::format(
      "SELECT {0}, {1}.ctid AS {2}, {1}.tableoid AS {3}"
      " FROM {4} AS {1}",
      join(list, ", "), alias, folding.ctid_column, folding.heap_column, '\0');
  for (const catalog::KeyColumn& key : table.source.key.value().columns) {
    const auto column =
        std::ranges::find(folding.columns, key.name, &Column::name);
    PGRECAST_ASSERT(column != folding.columns.end(), "key={}", key.name);
    folding.key.emplace_back(column->attnum, std::string(1, '\0') + "." +
                                                 quote_identifier(key.name));
  }
  return folding;
}

Folded Folder::fold(const std::vector<FoldTable>& tables) {
  for (const FoldTable& table : tables) foldings_.push_back(begin(table));
  std::vector<const script::Statement*> order;
  for (const script::Statement& statement : script_->statements()) {
    order.push_back(&statement);
  }
  if (!rule_on("fold_order")) std::ranges::reverse(order);
  for (const script::Statement* statement : order) {
    if (!follows_refused(*statement)) apply_or_note(*statement);
  }
  if (!refusals_.empty()) throw Refused(std::move(refusals_));
  settings_.finish();
  if (!made_under_) made_under_ = settings_.values();
  Folded folded;
  for (Folding& folding : foldings_) {
    folded.targets.push_back(
        finish(folding, static_cast<std::uint32_t>(folded.targets.size())));
  }
  folded.settings = *made_under_;
  folded.settings.merge(settings_.resources());
  folded.notes = settings_.notes();
  std::ranges::move(rules_.notes(), std::back_inserter(folded.notes));
  std::ranges::move(notes_, std::back_inserter(folded.notes));
  folded.warnings = rules_.warnings();
  return folded;
}

// Nothing that later statements could miss.
bool makes_nothing(const script::Statement& statement) {
  return std::holds_alternative<script::Update>(statement.body) ||
         std::holds_alternative<script::Delete>(statement.body) ||
         std::holds_alternative<script::CommentOnTable>(statement.body) ||
         std::holds_alternative<script::CommentOnObject>(statement.body) ||
         std::holds_alternative<script::ChangeGrants>(statement.body);
}

// A refused statement makes nothing, so what stands behind it on the same table
// may be refused for that alone: it is looked at only where the refused one
// would have made nothing either.
bool Folder::follows_refused(const script::Statement& statement) {
  if (lost_.empty()) return false;
  const script::TableName* name = script::table_of(statement);
  if (name == nullptr) return true;
  const auto oid = settings_.find_relation(name->schema, name->name);
  return !oid || lost_.contains(*oid);
}

void Folder::apply_or_note(const script::Statement& statement) {
  connection_->exec("SAVEPOINT statement");
  try {
    std::visit([&](const auto& body) { apply(statement, body); },
               statement.body);
    connection_->exec("RELEASE SAVEPOINT statement");
  } catch (const Refused& refused) {
    connection_->exec("ROLLBACK TO SAVEPOINT statement");
    std::ranges::copy(refused.refusals(), std::back_inserter(refusals_));
    if (makes_nothing(statement)) return;
    const script::TableName* name = script::table_of(statement);
    const auto oid = name == nullptr
                         ? std::nullopt
                         : settings_.find_relation(name->schema, name->name);
    // Of any of them, where it cannot be told.
    if (!oid) throw Refused(std::move(refusals_));
    lost_.insert(*oid);
  }
}

// The script's own settings, its search_path above all, hold while its words
// are run, and ours while we read the catalogs.
void Folder::run_script_sql(const script::Statement& statement,
                            const std::string& sql) {
  connection_->exec("SAVEPOINT script_statement");
  try {
    settings_.enter(settings_.now());
    connection_->exec(sql);
    settings_.leave();
  } catch (const pg::SqlError& error) {
    connection_->exec("ROLLBACK TO SAVEPOINT script_statement");
    refuse(statement.span.begin,
           fmt::format("the server refuses this on an empty copy of the table: "
                       "{}",
                       error.what()),
           error.fields().hint.empty() ? "correct the statement"
                                       : error.fields().hint);
  }
}

void Folder::apply(const script::Statement& statement,
                   const script::SetVariable& body) {
  if (!rule_on("fold_settings")) return;
  settings_.apply(statement, body);
}

void Folder::apply(const script::Statement& statement,
                   const script::TransactionMark& body) {
  settings_.apply(statement, body);
}

void Folder::computes_values(const script::Statement& statement) {
  const catalog::Settings now = settings_.values();
  if (!made_under_) made_under_ = now;
  if (*made_under_ == now) return;
  const auto value_in = [](const catalog::Settings& settings,
                           const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? std::string("nothing") : found->second;
  };
  catalog::Settings either = now;
  either.insert(made_under_->begin(), made_under_->end());
  for (const auto& [name, value] : either) {
    const std::string before = value_in(*made_under_, name);
    const std::string here = value_in(now, name);
    if (before == here) continue;
    refuse(statement.span.begin,
           fmt::format("this computes values with {} = {}, and a statement "
                       "before it with {}; the rows are made by one query, "
                       "under one set of settings",
                       name, here, before),
           "put SET before the first of these statements, or make it two "
           "migrations");
  }
}

void Folder::run_on_clone(const script::Statement& statement,
                          Folding& folding) {
  run_script_sql(statement, script_->with_table_replaced(
                                statement, folding.table->shadow.quoted()));
}

Folding& Folder::folding_of(const script::Statement& statement,
                            const script::TableName& name) {
  const auto oid = settings_.find_relation(name.schema, name.name);
  for (Folding& folding : foldings_) {
    if (oid == folding.table->source.oid) return folding;
  }
  refuse(statement.span.begin,
         fmt::format("table {} is none of this migration", name.name),
         "name each table the same way in all statements");
}

// Once it is checked.
std::string Folder::expression_text(
    const script::Expression& expression) const {
  return fmt::format(
      "({})",
      script_->slice_with(expression.span, frozen_.at(expression.span.begin)));
}

void Folder::check_expression(const Folding& folding,
                              const script::Expression& expression,
                              const std::optional<std::string>& alias) {
  std::vector<script::Replacement> unqualified;
  for (const script::ColumnUse& use : expression.facts.columns) {
    if (!folding.live.contains(use.name)) {
      refuse(use.span.begin,
             fmt::format("{} is no column here: the whole row, a function of "
                         "it, and generated columns of earlier statements "
                         "cannot be used",
                         use.name),
             "name the columns that are needed one by one");
    }
    const auto column =
        std::ranges::find(folding.columns, use.name, &Column::name);
    if (column != folding.columns.end() &&
        folding.made_anew.contains(column->attnum)) {
      refuse(use.span.begin,
             fmt::format("the values of {} are made anew whenever a row is "
                         "copied, so nothing can be computed from them",
                         use.name),
             "compute it in a migration of its own, after this one");
    }
    const std::string& known = alias ? *alias : folding.table->source.name.name;
    if (use.qualifier && *use.qualifier != known) {
      refuse(use.span.begin,
             fmt::format("{} is not this table's name here", *use.qualifier),
             fmt::format("write {}.{}", known, use.name));
    }
    unqualified.push_back(
        {.span = use.span, .text = quote_identifier(use.name)});
  }
  if (expression.facts.has_date_word) {
    refuse(expression.span.begin,
           "'now', 'today', 'tomorrow' and 'yesterday' differ each time they "
           "are evaluated",
           "write the date or time itself");
  }
  std::optional<ValueRules::Problem> problem;
  try {
    const auto& frozen = frozen_[expression.span.begin] =
        rules_.frozen(*script_, expression);
    std::ranges::copy(frozen, std::back_inserter(unqualified));
    problem = rules_.problem(folding.table->shadow,
                             script_->slice_with(expression.span, unqualified));
  } catch (const pg::SqlError& error) {
    refuse(expression.span.begin,
           fmt::format("the server refuses this: {}", error.what()),
           "correct the expression");
  }
  if (!problem) return;
  const auto& calls = expression.facts.functions;
  const auto call =
      std::ranges::find_if(calls, [&](const script::FunctionUse& use) {
        return use.function.name == problem->function;
      });
  refuse(call == calls.end() ? expression.span.begin : call->begin,
         problem->refusal.what, problem->refusal.remedy);
}

// The clone has no foreign keys: IF EXISTS would drop nothing, without a word,
// and the exchange carry the constraint over.
void Folder::refuse_foreign_key(const Folding& folding, std::size_t offset,
                                const std::string& name) {
  const pg::Result found = connection_->exec(
      "SELECT FROM pg_catalog.pg_constraint WHERE conname = $1"
      " AND conrelid = $2::pg_catalog.oid AND contype = 'f'",
      {name, folding.table->source.oid});
  if (found.empty()) return;
  refuse(offset,
         fmt::format("{} is a foreign key, which a migration carries over as "
                     "it is",
                     name),
         "change it before or after the migration: that needs no rewrite");
}

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
      refuse_foreign_key(folding, subcommand.span.begin, subcommand.name);
    }
  }
  run_on_clone(statement, folding);
  reshape(statement, folding, body.type_changes);
  // Of columns, reshape() tells. What is not told counts as unchanged.
  for (const script::Subcommand& subcommand : body.subcommands) {
    if (subcommand.kind == script::AlterKind::kColumnType ||
        subcommand.kind == script::AlterKind::kAddColumn ||
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

// The value that existing rows have in a column that was just added.
std::string Folder::added_value(const script::Statement& statement,
                                Folding& folding, const Column& column) {
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
  const auto made = default_of(folding, column);
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
    const Folding& folding, const Column& column) {
  const pg::Result result = connection_->exec(
      R"sql(
SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid), d.adbin::pg_catalog.text, 1 AS rank
FROM pg_catalog.pg_attrdef d
WHERE d.adrelid = $1::pg_catalog.oid AND d.adnum = $2::pg_catalog.int2
UNION ALL
SELECT pg_catalog.pg_get_expr(t.typdefaultbin, 0), t.typdefaultbin::pg_catalog.text, 2
FROM pg_catalog.pg_type t
WHERE t.oid = $3::pg_catalog.oid AND t.typtype = 'd' AND t.typdefaultbin IS NOT NULL
ORDER BY rank)sql",
      {folding.shadow_oid, column.attnum, column.type_oid});
  if (result.empty()) return std::nullopt;
  return std::pair(std::string(result.text(0, 0)),
                   std::string(result.text(0, 1)));
}

// Reads what the statement made of the clone's columns, and follows.
void Folder::reshape(const script::Statement& statement, Folding& folding,
                     const std::vector<script::TypeChange>& type_changes) {
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
      // expressions as long as nothing that it may depend on has changed.
      if (known && column.type == old->type && type_changes.empty()) {
        list.push_back(quote_identifier(old->name) + " AS " + name);
        live.insert(column.name);
      }
      continue;
    }
    live.insert(column.name);
    if (old == nullptr) {
      list.push_back(added_value(statement, folding, column) + " AS " + name);
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
    const auto change =
        std::ranges::find(type_changes, old->name, &script::TypeChange::column);
    const bool changed = change != type_changes.end() ||
                         old->type != column.type ||
                         old->collation != column.collation;
    if (!changed) {
      list.push_back(quote_identifier(old->name) + " AS " + name);
      continue;
    }
    computes_values(statement);
    change_key(statement, folding, *old, column,
               change == type_changes.end() ? nullptr : &*change);
    const bool has_using =
        change != type_changes.end() && change->using_expression.has_value();
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

void Folder::apply(const script::Statement& statement,
                   const script::Update& body) {
  Folding& folding = folding_of(statement, body.table);
  const std::string alias =
      body.alias ? quote_identifier(*body.alias) : source_alias(folding);
  for (const script::Assignment& assignment : body.assignments) {
    for (const auto& [attnum, value] : folding.key) {
      if (find_attnum(folding.columns, attnum)->name == assignment.column) {
        refuse(assignment.expression.span.begin,
               fmt::format("column {} belongs to the key, and cannot be "
                           "computed",
                           assignment.column),
               kKeyRemedy);
      }
    }
    check_expression(folding, assignment.expression, body.alias);
  }
  if (body.where) {
    check_expression(folding, *body.where, body.alias);
  }
  computes_values(statement);
  run_on_clone(statement, folding);
  std::vector<std::string> list;
  std::set<std::string> live;
  for (const Column& column : folding.columns) {
    if (!folding.live.contains(column.name) || column.generated) continue;
    live.insert(column.name);
    const std::string name = quote_identifier(column.name);
    const auto assignment = std::ranges::find(body.assignments, column.name,
                                              &script::Assignment::column);
    if (assignment == body.assignments.end()) {
      list.push_back(fmt::format("{}.{}", alias, name));
      continue;
    }
    if (body.where && folding.made_anew.contains(column.attnum)) {
      refuse(assignment->expression.span.begin,
             fmt::format("the values of {} are made anew whenever a row is "
                         "copied, so that some of them cannot be replaced",
                         column.name),
             "leave WHERE out, or do it in a migration of its own");
    }
    folding.made_anew.erase(column.attnum);
    std::string value =
        assigned(expression_text(assignment->expression), column);
    if (body.where && rule_on("fold_where")) {
      value = fmt::format("CASE WHEN {} THEN {} ELSE {}.{} END",
                          expression_text(*body.where), value, alias, name);
    }
    list.push_back(value + " AS " + name);
    folding.changes.push_back(fmt::format("values of {} set{}", column.name,
                                          body.where ? " where asked" : ""));
  }
  folding.live = std::move(live);
  wrap(folding, join(list, ", "), alias, "");
}

void Folder::apply(const script::Statement& statement,
                   const script::Delete& body) {
  Folding& folding = folding_of(statement, body.table);
  check_expression(folding, body.where, body.alias);
  computes_values(statement);
  run_on_clone(statement, folding);
  std::vector<std::string> list;
  for (const std::string& name : folding.live) {
    list.push_back(quote_identifier(name));
  }
  wrap(folding, join(list, ", "),
       body.alias ? quote_identifier(*body.alias) : source_alias(folding),
       // OFFSET 0: nothing is computed from rows that are gone by then.
       fmt::format("({}) IS NOT TRUE OFFSET 0", expression_text(body.where)));
  folding.changes.emplace_back("rows left behind where asked");
}

void Folder::apply(const script::Statement& statement,
                   const script::CreateIndex& body) {
  Folding& folding = folding_of(statement, body.table);
  run_on_clone(statement, folding);
  folding.changes.push_back(
      fmt::format("index {} added", body.name.value_or("(unnamed)")));
}

// Whose clone has the index; nullptr: none.
Folding* Folder::owner_of(const script::ObjectName& index) {
  Folding* owner = nullptr;
  for (Folding& folding : foldings_) {
    if (index.schema && *index.schema != folding.table->source.name.schema) {
      continue;
    }
    const pg::Result found = connection_->exec(
        "SELECT FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = $1::pg_catalog.oid AND c.relname = $2",
        {folding.shadow_oid, index.name});
    if (!found.empty()) owner = &folding;
  }
  return owner;
}

void Folder::apply(const script::Statement& statement,
                   const script::DropIndex& body) {
  for (const script::ObjectName& index : body.indexes) {
    Folding* const owner = owner_of(index);
    if (owner == nullptr) {
      if (body.if_exists) continue;
      refuse(index.span.begin,
             fmt::format("{} is no index of a table that this script changes",
                         index.name),
             "drop it outside of the migration: it needs no rewrite");
    }
    run_script_sql(statement, "DROP INDEX " +
                                  pg::quote_qualified(
                                      owner->table->shadow.schema, index.name));
    owner->changes.push_back(fmt::format("index {} dropped", index.name));
  }
}

void Folder::apply(const script::Statement& statement,
                   const script::RenameConstraint& body) {
  Folding& folding = folding_of(statement, body.table);
  refuse_foreign_key(folding, statement.span.begin, body.from);
  run_on_clone(statement, folding);
  folding.changes.push_back(
      fmt::format("constraint {} renamed to {}", body.from, body.to));
}

void Folder::apply(const script::Statement& statement,
                   const script::AlterIndex& body) {
  Folding* const owner = owner_of(body.index);
  if (owner == nullptr) {
    if (body.if_exists) return;
    refuse(body.index.span.begin,
           fmt::format("{} is no index of a table that this script changes",
                       body.index.name),
           "change it outside of the migration: that needs no rewrite");
  }
  run_script_sql(statement,
                 script_->with_object_replaced(
                     statement, pg::quote_qualified(owner->table->shadow.schema,
                                                    body.index.name)));
  owner->changes.push_back(
      body.renamed_to ? fmt::format("index {} renamed to {}", body.index.name,
                                    *body.renamed_to)
                      : fmt::format("index {} altered", body.index.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::CommentOnTable& body) {
  Folding& folding = folding_of(statement, body.table);
  using Part = script::CommentOnTable::Part;
  if (body.part == Part::kConstraint) {
    refuse_foreign_key(folding, statement.span.begin, body.name);
  }
  run_on_clone(statement, folding);
  folding.changes.push_back(
      body.part == Part::kTable
          ? std::string("comment on the table")
          : fmt::format("comment on {} {}",
                        body.part == Part::kColumn ? "column" : "constraint",
                        body.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::CommentOnObject& body) {
  const bool on_index = body.kind == script::CommentOnObject::Kind::kIndex;
  Folding* const owner =
      on_index ? owner_of(body.object) : made_statistics(body.object);
  if (owner == nullptr) {
    refuse(body.object.span.begin,
           on_index
               ? fmt::format("{} is no index of a table that this script "
                             "changes",
                             body.object.name)
               : fmt::format("{} are no statistics that this script has made",
                             body.object.name),
           "comment on it outside of the migration: that needs no rewrite");
  }
  run_script_sql(statement,
                 script_->with_object_replaced(
                     statement, pg::quote_qualified(owner->table->shadow.schema,
                                                    body.object.name)));
  owner->changes.push_back(fmt::format(
      "comment on {} {}", on_index ? "index" : "statistics", body.object.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::ChangeGrants& body) {
  Folding& folding = folding_of(statement, body.table);
  if (!folding.grants.begun()) {
    folding.first_grant = statement.span.begin;
    std::map<std::string, std::string> names;
    for (const Column& column : folding.at_first) {
      const Column* now = find_attnum(folding.columns, column.attnum);
      if (now != nullptr) names[column.name] = now->name;
    }
    folding.grants.begin(*connection_, folding.table->source,
                         folding.table->shadow, folding.shadow_oid, names);
  }
  run_on_clone(statement, folding);
}

void Folder::finish_grants(Folding& folding, TableTarget& target) {
  if (!folding.grants.begun()) return;
  if (folding.grants.clone_oid() != folding.shadow_oid) {
    refuse(folding.first_grant,
           "what is granted here is gone with the CREATE TABLE behind it",
           "put it behind CREATE TABLE");
  }
  target.grants = folding.grants.finish(*connection_);
  for (const ScriptGrant& change : target.grants) {
    target.changes.push_back(in_words(change));
  }
}

// Whose clone has statistics that the script made; nullptr: none.
Folding* Folder::made_statistics(const script::ObjectName& name) {
  for (Folding& folding : foldings_) {
    if (name.schema && *name.schema != folding.table->source.name.schema) {
      continue;
    }
    const script::ObjectName on_clone{.schema = folding.table->shadow.schema,
                                      .name = name.name,
                                      .span = name.span};
    if (find_statistics(*connection_, folding.shadow_oid, on_clone, "")) {
      return &folding;
    }
  }
  return nullptr;
}

void Folder::apply(const script::Statement& statement,
                   const script::CreateStatistics& body) {
  Folding& folding = folding_of(statement, body.table);
  const catalog::QualifiedName name{
      .schema = schema_of_new_statistics(*connection_, body.statistics,
                                         settings_.now().at("search_path")),
      .name = body.statistics.name};
  const std::string& schema = folding.table->source.name.schema;
  if (name.schema != schema) {
    refuse(body.statistics.span.begin,
           fmt::format("the statistics would be in schema {}, and their table "
                       "is in {}",
                       name.schema, schema),
           fmt::format("write {}, and move them after the migration",
                       pg::quote_qualified(schema, name.name)));
  }
  const bool dropped = std::ranges::find(folding.dropped_statistics, name) !=
                       folding.dropped_statistics.end();
  const bool made = made_statistics(body.statistics) != nullptr;
  if (made || (!dropped && are_there(*connection_, name))) {
    if (body.if_not_exists) return;
    refuse(body.statistics.span.begin,
           fmt::format("statistics {} are there already", name.display()),
           "choose another name, or drop them in the script before");
  }
  run_script_sql(statement, script_->with_statistics_replaced(
                                statement,
                                pg::quote_qualified(
                                    folding.table->shadow.schema, name.name),
                                folding.table->shadow.quoted()));
  folding.changes.push_back(fmt::format("statistics {} added", name.name));
}

void Folder::apply(const script::Statement& statement,
                   const script::DropStatistics& body) {
  for (const script::ObjectName& statistics : body.statistics) {
    if (Folding* const made = made_statistics(statistics)) {
      run_script_sql(
          statement,
          "DROP STATISTICS " +
              pg::quote_qualified(made->table->shadow.schema, statistics.name));
      made->changes.push_back(
          fmt::format("statistics {} dropped", statistics.name));
      continue;
    }
    Folding* const owner = source_statistics(statistics);
    if (owner == nullptr && !body.if_exists) {
      refuse(statistics.span.begin,
             fmt::format("{} are no statistics of a table that this script "
                         "changes",
                         statistics.name),
             "drop them outside of the migration: that needs no rewrite");
    }
    if (owner == nullptr) continue;
    owner->changes.push_back(
        fmt::format("statistics {} dropped", statistics.name));
  }
}

// Whose source has them; from now on they count as dropped.
Folding* Folder::source_statistics(const script::ObjectName& name) {
  for (Folding& folding : foldings_) {
    const auto found = find_statistics(*connection_, folding.table->source.oid,
                                       name, settings_.now().at("search_path"));
    auto& dropped = folding.dropped_statistics;
    if (!found || std::ranges::find(dropped, *found) != dropped.end()) {
      continue;
    }
    dropped.push_back(*found);
    return &folding;
  }
  return nullptr;
}

// The columns go on under their names: what is known by number follows.
void Folder::follow_names(const script::Statement& statement,
                          Folding& folding) {
  const std::vector<Column> now =
      catalog::read_columns(*connection_, folding.shadow_oid);
  std::map<int, int> moved;
  for (Column& column : folding.columns) {
    const auto found = std::ranges::find(now, column.name, &Column::name);
    // What is gone keeps a number that no column has.
    const int attnum = found == now.end() ? -column.attnum : found->attnum;
    moved[column.attnum] = attnum;
    column.attnum = attnum;
    if (found == now.end()) continue;
    if (made_by(*found) != made_by(column) && !found->generated) {
      folding.changes.push_back(
          fmt::format("default of column {}: {} instead of {}", column.name,
                      made_by(*found).empty() ? "none" : made_by(*found),
                      made_by(column).empty() ? "none" : made_by(column)));
    }
    if (found->not_null != column.not_null) {
      folding.changes.push_back(
          fmt::format("column {} {} NULL", column.name,
                      found->not_null ? "is NOT" : "may be"));
    }
  }
  for (Column& column : folding.at_first) {
    const auto found = moved.find(column.attnum);
    column.attnum = found == moved.end() ? -column.attnum : found->second;
  }
  for (auto& [attnum, value] : folding.key) attnum = moved.at(attnum);
  std::map<int, std::string> made_anew;
  for (auto& [attnum, by] : folding.made_anew) {
    made_anew[moved.at(attnum)] = std::move(by);
  }
  folding.made_anew = std::move(made_anew);
  reshape(statement, folding, {});
}

// As by hand, where the rows would be put into the new table: what goes on
// under its name must be assignable. And a sequence must go on, too.
void Folder::check_named_columns(const script::Statement& statement,
                                 const Folding& folding,
                                 const std::vector<Column>& before) {
  for (const Column& column : folding.columns) {
    const auto old = std::ranges::find(before, column.name, &Column::name);
    if (old == before.end() || column.generated) continue;
    if (column.identity && !old->identity) {
      refuse(statement.span.begin,
             fmt::format("column {} would get a new sequence, which begins at "
                         "1, beside the values that there are",
                         column.name),
             "write DEFAULT nextval(..) of the sequence that there is, or add "
             "the identity by hand after the migration");
    }
    if (const auto problem = assignment_problem(
            *connection_, folding.table->shadow, column.name, old->type)) {
      refuse(statement.span.begin,
             fmt::format("column {} cannot go on as {}: {}", column.name,
                         column.type, *problem),
             fmt::format("say before it how: ALTER TABLE .. ALTER COLUMN {} "
                         "TYPE {} USING ..",
                         quote_identifier(column.name), column.type));
    }
  }
}

void Folder::apply(const script::Statement& statement,
                   const script::CreateTable& body) {
  Folding& folding = folding_of(statement, body.table);
  const std::string shadow = folding.table->shadow.quoted();
  if (folding.recreated) {
    refuse(statement.span.begin,
           fmt::format("the script makes table {} twice", body.table.name),
           "leave one of the two out");
  }
  if (has_statistics(*connection_, folding.shadow_oid)) {
    refuse(
        statement.span.begin,
        "the statistics that the script has made are gone with the old shape",
        "put CREATE STATISTICS behind CREATE TABLE");
  }
  const auto made = made_before_new_shape(
      *connection_, folding.table->source.oid, folding.shadow_oid);
  if (!made.empty()) {
    refuse(statement.span.begin,
           fmt::format("{}, which the script has made, is gone with the old "
                       "shape",
                       join(made, ", ")),
           "put it behind CREATE TABLE, or into it");
  }
  const auto comments =
      comments_by_column(*connection_, folding.shadow_oid, shadow);
  connection_->exec("DROP TABLE " + shadow);
  run_on_clone(statement, folding);
  folding.shadow_oid =
      catalog::find_relation(*connection_, folding.table->shadow.schema,
                             folding.table->shadow.name)
          .value();
  folding.recreated = true;
  folding.changes.emplace_back("the shape that CREATE TABLE names");
  const std::vector<Column> before = folding.columns;
  follow_names(statement, folding);
  check_named_columns(statement, folding, before);
  for (const auto& [column, comment] : comments) {
    const bool there =
        column.empty() ||
        std::ranges::find(folding.columns, column, &Column::name) !=
            folding.columns.end();
    if (there) connection_->exec(comment);
  }
  own_table(*connection_, folding.table->source.owner, folding.table->shadow);
}

// By the name of one of its partitions, or by its own.
Folding* Folder::made_anew_by_script(const script::TableName& name) {
  for (Folding& folding : foldings_) {
    if (name.schema && *name.schema != folding.table->source.name.schema) {
      continue;
    }
    if (folding.partitions.contains(name.name)) return &folding;
  }
  for (Folding& folding : foldings_) {
    if (!folding.recreated || folding.table->source.name.name != name.name) {
      continue;
    }
    if (!name.schema || *name.schema == folding.table->source.name.schema) {
      return &folding;
    }
  }
  return nullptr;
}

void Folder::apply(const script::Statement& statement,
                   const script::CreatePartition& body) {
  Folding* const folding = made_anew_by_script(body.parent);
  if (folding == nullptr) {
    refuse(body.parent.span.begin,
           fmt::format("{} is no table that this script makes anew",
                       body.parent.name),
           "put CREATE TABLE .. PARTITION BY .., with the name of the table, "
           "before its partitions");
  }
  const catalog::QualifiedName& source = folding->table->source.name;
  if (body.partition.schema && *body.partition.schema != source.schema) {
    refuse(body.partition.span.begin,
           fmt::format("the partition would be in schema {}",
                       *body.partition.schema),
           fmt::format("make it beside its table, in schema {}, and move it "
                       "after the migration",
                       source.schema));
  }
  const std::string& schema = folding->table->shadow.schema;
  run_script_sql(
      statement,
      script_->with_partition_replaced(
          statement, pg::quote_qualified(schema, body.partition.name),
          pg::quote_qualified(schema, body.parent.name)));
  folding->partitions.insert(body.partition.name);
  folding->changes.push_back(
      fmt::format("partition {} of {}", body.partition.name, body.parent.name));
}

// The unique index on exactly the columns of the key, among the clone's.
std::optional<std::string> find_key_index(
    pg::Connection& connection, catalog::Oid shadow_oid,
    const std::vector<std::string>& columns) {
  const pg::Result found = connection.exec(
      R"sql(
SELECT c.relname
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion
  AND (SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attname::pg_catalog.text COLLATE "C")
       FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS n
       JOIN pg_catalog.pg_attribute a
         ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n])
      OPERATOR(pg_catalog.=)
      (SELECT pg_catalog.array_agg(k ORDER BY k COLLATE "C")
       FROM pg_catalog.unnest($2::pg_catalog.text[]) AS k)
ORDER BY i.indisprimary DESC, c.relname)sql",
      {shadow_oid, pg::array_literal(columns)});
  if (found.empty()) return std::nullopt;
  return std::string(found.text(0, 0));
}

void Folder::choose_indexes(Folding& folding, TableTarget& target) {
  ClonedIndexes cloned =
      read_indexes(*connection_, folding.shadow_oid, target.shadow);
  target.late_constraints = std::move(cloned.late_constraints);
  const auto key_index =
      find_key_index(*connection_, folding.shadow_oid, target.shadow_key);
  const pg::Result source_names = connection_->exec(
      "SELECT c.relname FROM pg_catalog.pg_index i"
      " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
      " WHERE i.indrelid = $1::pg_catalog.oid",
      {folding.table->source.oid});
  std::set<std::string, std::less<>> known;
  for (int row = 0; row < source_names.rows(); ++row) {
    known.emplace(source_names.text(row, 0));
  }
  for (ShadowIndex& index : cloned.indexes) {
    index.from_script = !known.contains(index.name);
    if (key_index && index.name == *key_index) {
      target.key_index = std::move(index);
    } else {
      target.indexes.push_back(std::move(index));
    }
  }
  if (!rule_on("fold_index")) target.indexes.clear();
  if (key_index) return;
  target.key_index_is_ours = true;
  target.key_index.name = "pgrecast_key";
  target.key_index = our_key_index(target);
}

// Lets the server say whether the rows can be made at all, and stored.
void Folder::try_select(Folding& folding, const TableTarget& target) {
  connection_->exec("SAVEPOINT try_select");
  try {
    settings_.enter(made_under_.value());
    connection_->exec(fmt::format(
        "INSERT INTO {} {} {}", target.shadow.quoted(),
        target.select.insert_target(), target.select.rows("false")));
    connection_->exec(target.select.rows_to_compare("false"));
    connection_->exec(
        target.select.shadow_to_compare(target.shadow.quoted(), "false"));
  } catch (const pg::SqlError& error) {
    connection_->exec("ROLLBACK TO SAVEPOINT try_select");
    throw Refused(
        fmt::format("table {}: the statements together make no rows that the "
                    "new shape takes: {}",
                    folding.table->source.name.display(), error.what()),
        "check the types of the expressions against the columns");
  }
  connection_->exec("ROLLBACK TO SAVEPOINT try_select");
}

TableTarget Folder::finish(Folding& folding, std::uint32_t ordinal) {
  TableTarget target;
  target.ordinal = ordinal;
  target.source = folding.table->source.name;
  target.shadow = folding.table->shadow;
  target.retired = folding.table->retired;
  target.changes = folding.changes;
  SelectList::Parts parts;
  parts.alias = source_alias(folding);
  parts.from = folding.table->source.whole();
  parts.ctid_column = folding.ctid_column;
  parts.heap_column = folding.heap_column;
  std::vector<std::string> rows;
  std::vector<std::string> compared{places(folding)};
  for (const Column& column : folding.columns) {
    if (column.generated) continue;
    if (const auto anew = folding.made_anew.find(column.attnum);
        anew != folding.made_anew.end()) {
      if (anew->second == made_by(column)) continue;
      throw Refused(
          fmt::format("table {}: the values of column {} come from the default "
                      "that it was added with, which a later statement changes",
                      folding.table->source.name.display(), column.name),
          "change the default after the migration");
    }
    const std::string name = quote_identifier(column.name);
    if (name == folding.ctid_column || name == folding.heap_column) {
      throw Refused(
          fmt::format("table {}: column {} has a name of ours",
                      folding.table->source.name.display(), column.name),
          "give the column another name");
    }
    parts.insert_columns.push_back(column.name);
    parts.compare_columns.push_back(column.name);
    parts.compare_types.push_back(column.cast_type);
    rows.push_back(name);
    compared.push_back(
        fmt::format("CAST({} AS {}) AS {}", name, column.cast_type, name));
  }
  parts.rows_head =
      fmt::format("SELECT {} FROM ({}", join(rows, ", "), folding.head);
  parts.compare_head =
      fmt::format("SELECT {} FROM ({}", join(compared, ", "), folding.head);
  parts.rows_tail = folding.tail + ") AS " + parts.alias;
  parts.compare_tail = parts.rows_tail;
  for (const Column& column : folding.at_first) {
    const Column* now = find_attnum(folding.columns, column.attnum);
    if (now != nullptr && now->name != column.name) {
      target.renamed[column.name] = now->name;
    }
  }
  for (const auto& [attnum, value] : folding.key) {
    target.shadow_key.push_back(find_attnum(folding.columns, attnum)->name);
    parts.key_expressions.push_back(value);
  }
  target.select = SelectList(std::move(parts));
  target.partitions = read_partitions(*connection_, folding.shadow_oid);
  target.dropped_statistics = folding.dropped_statistics;
  finish_grants(folding, target);
  if (folding.recreated) {
    keep_replica_identity(*connection_, folding.table->source.oid,
                          target.shadow);
    if (auto refusal = unfit_to_be_published(
            *connection_, folding.table->source.oid, folding.shadow_oid)) {
      throw Refused({std::move(*refusal)});
    }
    std::ranges::move(lost_by_new_shape(*connection_, folding.table->source.oid,
                                        folding.shadow_oid),
                      std::back_inserter(target.changes));
  }
  choose_indexes(folding, target);
  try_select(folding, target);
  return target;
}

}  // namespace

Folded fold(pg::Connection& connection, const script::Script& script,
            const std::vector<FoldTable>& tables, const FoldRules& rules) {
  return Folder(connection, script, rules).fold(tables);
}

}  // namespace pgrecast::plan
