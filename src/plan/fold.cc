#include "pgrecast/plan/fold.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/error.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/refused_plan.h"

#include "folder.h"
#include "taken_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace pgrecast::plan {
namespace {

// Nothing that later statements could miss.
bool makes_nothing(const script::Statement& statement) {
  return std::holds_alternative<script::Update>(statement.body) ||
         std::holds_alternative<script::Delete>(statement.body) ||
         std::holds_alternative<script::CommentOnTable>(statement.body) ||
         std::holds_alternative<script::CommentOnObject>(statement.body) ||
         std::holds_alternative<script::ChangeGrants>(statement.body);
}

}  // namespace

using catalog::Column;
using pg::quote_identifier;

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
    if (follows_refused(*statement)) continue;
    apply_or_note(*statement);
    if (makes_nothing(*statement)) continue;
    if (auto names = names_to_hold(); !names.empty()) {
      Folded again;
      again.taken = std::move(names);
      return again;
    }
  }
  if (!refusals_.empty()) {
    throw RefusedPlan(std::move(refusals_), rules_.warnings());
  }
  settings_.finish();
  if (!made_under_) made_under_ = settings_.values();
  take_foreign_keys();
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
  folded.foreign_keys_of = std::move(foreign_keys_of_);
  return folded;
}

// Those that the statement gave, and would not have by hand; or, where the
// script says them itself, could not.
std::set<TakenName> Folder::names_to_hold() {
  std::vector<catalog::Oid> sources;
  for (const Folding& folding : foldings_) {
    sources.push_back(folding.table->source.oid);
  }
  std::set<TakenName> names;
  for (const Folding& folding : foldings_) {
    names.merge(taken_names(*connection_, folding.table->source.oid,
                            folding.shadow_oid, sources,
                            folding.dropped_foreign_keys));
  }
  std::erase_if(names,
                [&](const TakenName& name) { return held_.contains(name); });
  return names;
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
    if (!oid) throw RefusedPlan(std::move(refusals_), rules_.warnings());
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
    refuse(script_->offset_of(statement.span, sql, error.fields().position),
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

Folded fold(pg::Connection& connection, const script::Script& script,
            const std::vector<FoldTable>& tables, const FoldRules& rules) {
  return Folder(connection, script, rules).fold(tables);
}

}  // namespace pgrecast::plan
