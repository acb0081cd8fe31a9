#include "by_hand.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/text.h"
#include "pgrecast/catalog/shape.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/child.h"
#include "pgrecast/plan/clone.h"
#include "pgrecast/plan/leaf.h"

#include "foreign_keys.h"
#include "hand_effects.h"
#include "script_settings.h"
#include "script_statistics.h"
#include "taken_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <variant>

namespace pgrecast::plan {
namespace {

using catalog::Oid;
using catalog::QualifiedName;

// Rows that break a CHECK or a NOT NULL (since 18) which is NOT VALID stay
// where they are by hand, so they are put in before it is there.
void fill(pg::Connection& connection, const HandTable& table, Oid clone) {
  const ClonedIndexes cloned = read_indexes(connection, clone, table.clone);
  const pg::Result drops = connection.exec(
      "SELECT pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I',"
      " $2::pg_catalog.text, conname) FROM pg_catalog.pg_constraint"
      " WHERE conrelid = $1::pg_catalog.oid AND contype IN "
      "('c', 'n') AND NOT convalidated",
      {clone, table.clone.quoted()});
  for (int row = 0; row < drops.rows(); ++row) {
    connection.exec(std::string(drops.text(row, 0)));
  }
  std::vector<std::string> columns;
  for (const catalog::Column& column : table.source->columns) {
    if (!column.generated) columns.push_back(pg::quote_identifier(column.name));
  }
  connection.exec(fmt::format(
      "INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM {4}{2} "
      "AS s WHERE {3}",
      table.clone.quoted(), join(columns, ", "), table.source->name.quoted(),
      is_one_of("s", table.rows), table.source->partitioned() ? "" : "ONLY "));
  for (const std::string& late : cloned.late_constraints) connection.exec(late);
}

class Hand {
 public:
  Hand(pg::Connection& connection, const script::Script& script,
       const catalog::Settings& at_start, const std::vector<HandTable>& tables,
       const std::map<std::size_t, std::vector<std::string>>& foreign_keys_of)
      : connection_(&connection),
        script_(&script),
        settings_(connection, script, at_start),
        tables_(&tables),
        foreign_keys_of_(&foreign_keys_of) {}

  std::vector<NativeStep> run(const std::set<TakenName>& taken);

 private:
  // A clone as the script has left it so far.
  struct State {
    Oid oid = 0;
    // Made anew by the script, and still without its rows.
    const script::Statement* empty_since = nullptr;
    bool recreated = false;
    std::set<std::string> partitions;
    std::set<std::string> dropped_foreign_keys;
    // OIDs of the constraints that stand in for foreign keys of the script.
    std::vector<std::string> stand_ins;
    catalog::Facts below;  // before the first statement
  };

  void make_clone(std::size_t table);
  catalog::Facts below(std::size_t table);
  void require_same_below(const script::Statement& statement);
  std::size_t table_of(const script::TableName& name);
  std::size_t owner_of(const script::ObjectName& index);
  std::size_t owner_of(const script::Statement& statement);
  std::string object_of(const script::Statement& statement);
  TableFiles files();
  NativeStep run(const script::Statement& statement);
  std::size_t made_statistics(const script::ObjectName& name);
  void run_on_object(const script::Statement& statement, std::size_t owner,
                     const script::ObjectName& object);
  std::size_t table_made_anew(const script::TableName& name) const;
  void put_rows_back(std::size_t table);
  void run(const script::Statement& statement, const std::string& sql);
  void refind(std::size_t table);
  QualifiedName kept_rows(std::size_t table) const;
  void apply(const script::Statement& statement, const script::DropIndex& body);
  void apply(const script::Statement& statement,
             const script::AlterIndex& body);
  void apply(const script::Statement& statement,
             const script::CommentOnObject& body);
  void apply(const script::Statement& statement,
             const script::CreateStatistics& body);
  void apply(const script::Statement& statement,
             const script::DropStatistics& body);
  // settings_ follows them; they are never run.
  static void apply(const script::Statement& /*statement*/,
                    const script::SetVariable& /*body*/) {}
  static void apply(const script::Statement& /*statement*/,
                    const script::TransactionMark& /*body*/) {}
  void apply(const script::Statement& statement,
             const script::CreateTable& body);
  void apply(const script::Statement& statement,
             const script::CreatePartition& body);
  void apply(const script::Statement& statement,
             const script::AlterTable& body);
  void run_on_table(const script::Statement& statement, std::size_t table);
  void run_without_foreign_keys(const script::Statement& statement,
                                std::size_t table);
  void stand_in_for_added(std::size_t table, const std::string& name);
  void drop_stand_ins(std::size_t table);
  template <typename Body>
  void apply(const script::Statement& statement, const Body& body) {
    run_on_table(statement, table_of(body.table));
  }

  pg::Connection* connection_;
  const script::Script* script_;
  ScriptSettings settings_;
  const std::vector<HandTable>* tables_;
  const std::map<std::size_t, std::vector<std::string>>* foreign_keys_of_;
  std::vector<State> states_;
};

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

void Hand::refind(std::size_t table) {
  const QualifiedName& clone = (*tables_)[table].clone;
  states_[table].oid =
      catalog::find_relation(*connection_, clone.schema, clone.name).value();
}

void Hand::make_clone(std::size_t table) {
  const HandTable& hand = (*tables_)[table];
  create_clone(*connection_, *hand.source, hand.clone);
  if (hand.whole) {
    attach_to_copy(*connection_, *hand.source, hand.clone, *hand.whole);
  }
  refind(table);
  // Before the CHECKs that are NOT VALID, which it would not have so.
  if (hand.below) {
    connection_->exec(fmt::format("CREATE TABLE {} () INHERITS ({})",
                                  hand.below->quoted(), hand.clone.quoted()));
  }
  fill(*connection_, hand, states_[table].oid);
  if (hand.below) states_[table].below = below(table);
}

// All that it has of the clone.
catalog::Facts Hand::below(std::size_t table) {
  const QualifiedName& name = (*tables_)[table].below.value();
  const Oid oid =
      catalog::find_relation(*connection_, name.schema, name.name).value();
  catalog::Facts facts = catalog::read_shape(*connection_, oid);
  facts.merge(catalog::facts_of(connection_->exec(child_facts_query(), {oid})));
  return facts;
}

void Hand::require_same_below(const script::Statement& statement) {
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    if (!(*tables_)[i].below) continue;
    const auto lines = catalog::differences(states_[i].below, below(i));
    if (lines.empty()) continue;
    throw Refused(
        script_->error_at(
            statement.span.begin,
            fmt::format("this changes the tables that inherit from {}, too: {}",
                        (*tables_)[i].source->name.display(),
                        join(lines, "; ")),
            ""),
        "leave to them what they inherit; or ALTER TABLE .. NO INHERIT, and "
        "INHERIT after the migration");
  }
}

// As by hand: the script's search_path finds the source.
std::size_t Hand::table_of(const script::TableName& name) {
  const auto oid = settings_.find_relation(name.schema, name.name);
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    if ((*tables_)[i].source->oid == oid) return i;
  }
  PGRECAST_ASSERT(false, "table={}", name.name);  // folding would have refused
  return kNone;
}

std::size_t Hand::owner_of(const script::ObjectName& index) {
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    if (index.schema && *index.schema != (*tables_)[i].source->name.schema) {
      continue;
    }
    const pg::Result found = connection_->exec(
        "SELECT FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = $1::pg_catalog.oid AND c.relname = $2",
        {states_[i].oid, index.name});
    if (!found.empty()) return i;
  }
  return kNone;
}

// As the folding finds it: what the script makes anew is known by its name.
std::size_t Hand::table_made_anew(const script::TableName& name) const {
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    const QualifiedName& source = (*tables_)[i].source->name;
    if (name.schema && *name.schema != source.schema) continue;
    if (states_[i].partitions.contains(name.name)) return i;
  }
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    const QualifiedName& source = (*tables_)[i].source->name;
    if (!states_[i].recreated || source.name != name.name) continue;
    if (!name.schema || *name.schema == source.schema) return i;
  }
  PGRECAST_ASSERT(false, "table={}", name.name);  // folding would have refused
  return kNone;
}

void Hand::run(const script::Statement& statement, const std::string& sql) {
  try {
    settings_.enter(settings_.now());
    connection_->exec(sql);
    // By hand, what is deferred is checked at the statement's end.
    connection_->exec("SET CONSTRAINTS ALL IMMEDIATE");
    settings_.leave();
  } catch (const pg::SqlError& error) {
    throw HandFailure(statement, error);
  }
}

void Hand::run_on_table(const script::Statement& statement, std::size_t table) {
  put_rows_back(table);
  run(statement, script_->with_table_replaced(
                     statement, (*tables_)[table].clone.quoted()));
}

// A foreign key can be dropped once, as the folding has seen to.
void Hand::apply(const script::Statement& statement,
                 const script::AlterTable& body) {
  const std::size_t table = table_of(body.table);
  for (const script::Subcommand& subcommand : body.subcommands) {
    if (subcommand.kind != script::AlterKind::kDropConstraint ||
        states_[table].recreated ||
        states_[table].dropped_foreign_keys.contains(subcommand.name)) {
      continue;
    }
    const HandTable& hand = (*tables_)[table];
    if (stand_in_for_foreign_key(*connection_, hand.source->oid,
                                 states_[table].oid, hand.clone,
                                 subcommand.name)) {
      states_[table].dropped_foreign_keys.insert(subcommand.name);
    }
  }
  if (body.foreign_keys.empty()) return run_on_table(statement, table);
  run_without_foreign_keys(statement, table);
}

void Hand::run_without_foreign_keys(const script::Statement& statement,
                                    std::size_t table) {
  put_rows_back(table);
  const auto rest = script_->without_foreign_keys(
      statement, (*tables_)[table].clone.quoted());
  if (rest) run(statement, *rest);
  const auto names = foreign_keys_of_->find(statement.span.begin);
  if (names == foreign_keys_of_->end()) return;
  for (const std::string& name : names->second) {
    stand_in_for_added(table, name);
  }
}

// One whose column is gone has gone with it, but not what stood in for it.
void Hand::stand_in_for_added(std::size_t table, const std::string& name) {
  const std::string clone = (*tables_)[table].clone.quoted();
  const std::string quoted = pg::quote_identifier(name);
  connection_->exec(
      fmt::format("ALTER TABLE {0} DROP CONSTRAINT IF EXISTS {1}; "
                  "ALTER TABLE {0} ADD CONSTRAINT {1} CHECK (true) NOT VALID",
                  clone, quoted));
  states_[table].stand_ins.emplace_back(
      connection_
          ->exec("SELECT oid FROM pg_catalog.pg_constraint"
                 " WHERE conrelid = $1::pg_catalog.oid AND conname = $2",
                 {states_[table].oid, name})
          .text(0, 0));
}

void Hand::drop_stand_ins(std::size_t table) {
  const pg::Result found = connection_->exec(
      "SELECT pg_catalog.quote_ident(conname) FROM pg_catalog.pg_constraint"
      " WHERE conrelid = $1::pg_catalog.oid"
      "  AND oid = ANY ($2::pg_catalog.oid[])",
      {states_[table].oid, pg::array_literal(states_[table].stand_ins)});
  for (int row = 0; row < found.rows(); ++row) {
    connection_->exec(fmt::format("ALTER TABLE {} DROP CONSTRAINT {}",
                                  (*tables_)[table].clone.quoted(),
                                  found.text(row, 0)));
  }
}

void Hand::apply(const script::Statement& statement,
                 const script::DropIndex& body) {
  for (const script::ObjectName& index : body.indexes) {
    const std::size_t owner = owner_of(index);
    if (owner == kNone) continue;  // IF EXISTS, or it was refused
    run(statement, fmt::format("DROP INDEX {}{}",
                               pg::quote_qualified(
                                   (*tables_)[owner].clone.schema, index.name),
                               body.cascade ? " CASCADE" : ""));
  }
}

std::size_t Hand::made_statistics(const script::ObjectName& name) {
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    const HandTable& table = (*tables_)[i];
    if (name.schema && *name.schema != table.source->name.schema) continue;
    const script::ObjectName on_clone{
        .schema = table.clone.schema, .name = name.name, .span = name.span};
    if (find_statistics(*connection_, states_[i].oid, on_clone, "")) return i;
  }
  return kNone;
}

void Hand::run_on_object(const script::Statement& statement, std::size_t owner,
                         const script::ObjectName& object) {
  if (owner == kNone) return;  // IF EXISTS, or it was refused
  run(statement,
      script_->with_object_replaced(
          statement,
          pg::quote_qualified((*tables_)[owner].clone.schema, object.name)));
}

void Hand::apply(const script::Statement& statement,
                 const script::AlterIndex& body) {
  run_on_object(statement, owner_of(body.index), body.index);
}

void Hand::apply(const script::Statement& statement,
                 const script::CommentOnObject& body) {
  const bool on_index = body.kind == script::CommentOnObject::Kind::kIndex;
  run_on_object(statement,
                on_index ? owner_of(body.object) : made_statistics(body.object),
                body.object);
}

void Hand::apply(const script::Statement& statement,
                 const script::CreateStatistics& body) {
  if (body.if_not_exists && made_statistics(body.statistics) != kNone) return;
  const QualifiedName& clone = (*tables_)[table_of(body.table)].clone;
  run(statement,
      script_->with_statistics_replaced(
          statement, pg::quote_qualified(clone.schema, body.statistics.name),
          clone.quoted()));
}

// Those of the source have no clone.
void Hand::apply(const script::Statement& statement,
                 const script::DropStatistics& body) {
  for (const script::ObjectName& statistics : body.statistics) {
    const std::size_t owner = made_statistics(statistics);
    if (owner == kNone) continue;
    run(statement,
        "DROP STATISTICS " + pg::quote_qualified((*tables_)[owner].clone.schema,
                                                 statistics.name));
  }
}

QualifiedName Hand::kept_rows(std::size_t table) const {
  return {.schema = (*tables_)[table].clone.schema,
          .name = fmt::format("pgrecast kept rows {}", table)};
}

void Hand::apply(const script::Statement& statement,
                 const script::CreateTable& body) {
  const std::size_t table = table_of(body.table);
  const QualifiedName& clone = (*tables_)[table].clone;
  connection_->exec(fmt::format("CREATE TABLE {} AS SELECT * FROM {}",
                                kept_rows(table).quoted(), clone.quoted()));
  connection_->exec("DROP TABLE " + clone.quoted());
  run(statement, script_->with_table_replaced(statement, clone.quoted()));
  refind(table);
  own_table(*connection_, (*tables_)[table].source->owner, clone);
  states_[table].recreated = true;
  states_[table].empty_since = &statement;
}

void Hand::apply(const script::Statement& statement,
                 const script::CreatePartition& body) {
  const std::size_t table = table_made_anew(body.parent);
  const std::string& schema = (*tables_)[table].clone.schema;
  run(statement,
      script_->with_partition_replaced(
          statement, pg::quote_qualified(schema, body.partition.name),
          pg::quote_qualified(schema, body.parent.name)));
  states_[table].partitions.insert(body.partition.name);
}

void Hand::put_rows_back(std::size_t table) {
  const script::Statement* const since =
      std::exchange(states_[table].empty_since, nullptr);
  if (since == nullptr) return;
  const QualifiedName kept = kept_rows(table);
  const auto old = catalog::read_columns(
      *connection_,
      catalog::find_relation(*connection_, kept.schema, kept.name).value());
  std::vector<std::string> common;
  for (const catalog::Column& column :
       catalog::read_columns(*connection_, states_[table].oid)) {
    if (column.generated) continue;
    if (std::ranges::find(old, column.name, &catalog::Column::name) !=
        old.end()) {
      common.push_back(pg::quote_identifier(column.name));
    }
  }
  run(*since, fmt::format("INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE "
                          "SELECT {1} FROM {2}",
                          (*tables_)[table].clone.quoted(), join(common, ", "),
                          kept.quoted()));
  connection_->exec("DROP TABLE " + kept.quoted());
}

// The table that a statement is about; kNone where that is something else.
std::size_t Hand::owner_of(const script::Statement& statement) {
  if (const script::TableName* name = script::table_of(statement)) {
    return table_of(*name);
  }
  const auto* drop = std::get_if<script::DropIndex>(&statement.body);
  return drop == nullptr ? kNone : owner_of(drop->indexes.front());
}

// What a statement locks, as a person calls it.
std::string Hand::object_of(const script::Statement& statement) {
  const std::size_t owner = owner_of(statement);
  if (owner != kNone) return (*tables_)[owner].source->name.display();
  if (const auto* index = std::get_if<script::AlterIndex>(&statement.body)) {
    return "index " + index->index.name;
  }
  const auto* comment = std::get_if<script::CommentOnObject>(&statement.body);
  return comment == nullptr ? "" : comment->object.name;
}

TableFiles Hand::files() {
  std::vector<Oid> clones;
  clones.reserve(states_.size());
  for (const State& state : states_) clones.push_back(state.oid);
  return read_files(*connection_, clones);
}

NativeStep Hand::run(const script::Statement& statement) {
  const std::string object = object_of(statement);
  const std::size_t owner = owner_of(statement);
  const bool partitioned =
      owner != kNone && (*tables_)[owner].source->partitioned();
  const TableFiles before = files();
  std::visit([&](const auto& body) { apply(statement, body); }, statement.body);
  return native_step(*script_, statement, effect_of(statement, before, files()),
                     object, partitioned);
}

std::vector<NativeStep> Hand::run(const std::set<TakenName>& taken) {
  states_.resize(tables_->size());
  std::map<std::string, std::string> schemas;
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    make_clone(i);
    const HandTable& table = (*tables_)[i];
    schemas[table.source->name.schema] = table.clone.schema;
  }
  for (const auto& [schema, of_clones] : schemas) {
    hold_names(*connection_, taken, schema, of_clones);
  }
  std::vector<NativeStep> steps;
  for (const script::Statement& statement : script_->statements()) {
    settings_.follow(statement);
    const bool runs =
        !std::holds_alternative<script::SetVariable>(statement.body) &&
        !std::holds_alternative<script::TransactionMark>(statement.body);
    if (!runs) continue;
    steps.push_back(run(statement));
    require_same_below(statement);
  }
  for (std::size_t i = 0; i < tables_->size(); ++i) {
    put_rows_back(i);
    drop_stand_ins(i);
  }
  return steps;
}

}  // namespace

std::vector<NativeStep> run_by_hand(
    pg::Connection& connection, const script::Script& script,
    const catalog::Settings& at_start, const std::vector<HandTable>& tables,
    const std::set<TakenName>& taken,
    const std::map<std::size_t, std::vector<std::string>>& foreign_keys_of) {
  return Hand(connection, script, at_start, tables, foreign_keys_of).run(taken);
}

}  // namespace pgrecast::plan
