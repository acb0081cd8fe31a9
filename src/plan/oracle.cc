#include "oracle.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/text.h"
#include "pgrecast/catalog/shape.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/child.h"
#include "pgrecast/plan/leaf.h"
#include "pgrecast/plan/parent.h"
#include "pgrecast/plan/rejected_rows.h"

#include "by_hand.h"
#include "sample.h"
#include "savepoint.h"
#include "script_settings.h"
#include "search_path.h"
#include "sequences.h"
#include "shadow_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

namespace pgrecast::plan {
namespace {

using catalog::QualifiedName;
using catalog::Table;

// Of all tables together: our lock on them lasts no longer than seconds.
constexpr auto kSamplingTimeMax = std::chrono::seconds(2);
// A statement on the sample that takes longer gets a smaller sample. And a
// thousand ctids would make the planner rather read the whole source.
constexpr const char* kStatementLimits =
    "SET LOCAL statement_timeout = 4000; SET LOCAL enable_seqscan = off";
constexpr std::size_t kSmallerBy = 20;

constexpr const char* kReport =
    "this is a bug of pgrecast: please report it, with the script and the "
    "table's definition; nothing was made";

using Samples = std::vector<std::vector<RowPlace>>;

Samples take_samples(pg::Connection& connection, const Plan& plan) {
  const Deadline deadline = Deadline::in(kSamplingTimeMax);
  Samples samples;
  for (const Table& source : plan.sources) {
    samples.push_back(take_sample(connection, source, deadline));
  }
  return samples;
}

std::vector<std::string> quoted(const std::vector<std::string>& names) {
  std::vector<std::string> all;
  for (const std::string& name : names) {
    all.push_back(pg::quote_identifier(name));
  }
  return all;
}

// What is compared of a shadow's columns: all but those whose values are made
// anew for each row, and what the server computes from these.
std::vector<std::string> compared_columns(pg::Connection& connection,
                                          const TableTarget& target) {
  std::vector<std::string> columns = target.select.parts().compare_columns;
  const pg::Result generated = connection.exec(
      R"sql(
SELECT a.attname FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attgenerated <> '' AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend p
    LEFT JOIN pg_catalog.pg_attrdef d
      ON p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.oid = p.objid
    JOIN pg_catalog.pg_attribute r ON r.attrelid = p.refobjid AND r.attnum = p.refobjsubid
    WHERE p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.refobjid = a.attrelid
      AND ((d.adrelid = a.attrelid AND d.adnum = a.attnum)
           OR (p.classid = p.refclassid AND p.objid = a.attrelid AND p.objsubid = a.attnum))
      AND r.attgenerated = ''
      AND r.attname::pg_catalog.text <> ALL ($2::pg_catalog.text[]))
ORDER BY a.attnum)sql",
      {target.shadow.quoted(), pg::array_literal(columns)});
  for (int row = 0; row < generated.rows(); ++row) {
    columns.emplace_back(generated.text(row, 0));
  }
  return columns;
}

struct RowDifferences {
  std::set<std::string> columns;  // of rows that both have
  std::vector<std::string> lines;
  bool other_rows = false;
};

// Rows meet by the image of their key, and are compared by images: no type
// needs an operator, and what is equal but not the same differs.
RowDifferences compare_rows(pg::Connection& connection,
                            const std::string& folded, const std::string& hand,
                            const std::vector<std::string>& key,
                            const std::vector<std::string>& columns) {
  std::vector<std::string> names;
  for (const std::string& column : quoted(key)) {
    names.push_back(column + "::pg_catalog.text");
  }
  std::string list = fmt::format(
      "SELECT true AS there, ROW({0}) AS k, pg_catalog.concat_ws(', ', {1}) AS "
      "name",
      join(quoted(key), ", "), join(names, ", "));
  std::vector<std::string> differ;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    list +=
        fmt::format(", ROW({}) AS c{}", pg::quote_identifier(columns[i]), i);
    differ.push_back(fmt::format(
        "CASE WHEN NOT pg_catalog.record_image_eq(f.c{0}, h.c{0}) THEN {0} END",
        i));
  }
  const pg::Result rows = connection.exec(fmt::format(
      R"sql(
WITH f AS MATERIALIZED ({0} FROM {1}), h AS MATERIALIZED ({0} FROM {2})
SELECT COALESCE(f.name, h.name), f.there IS NULL, h.there IS NULL, column_number
FROM (f FULL JOIN h ON f.k OPERATOR(pg_catalog.*=) h.k)
LEFT JOIN LATERAL pg_catalog.unnest(ARRAY[{3}]::pg_catalog.int4[]) AS column_number
  ON f.there AND h.there AND column_number IS NOT NULL
WHERE f.there IS NULL OR h.there IS NULL OR column_number IS NOT NULL
ORDER BY 1, 4)sql",
      list, folded, hand, join(differ, ", ")));
  RowDifferences found;
  const std::string key_names = join(key, ", ");
  for (int row = 0; row < rows.rows(); ++row) {
    const bool surplus = rows.boolean(row, 2);
    const bool missing = rows.boolean(row, 1);
    std::string what = surplus   ? "would be made, and is not there by hand"
                       : missing ? "is there by hand, and would be missing"
                                 : "";
    if (what.empty()) {
      const auto& column = columns.at(rows.number<std::size_t>(row, 3));
      found.columns.insert(column);
      what = fmt::format("would have another value in column {}", column);
    }
    found.other_rows = found.other_rows || surplus || missing;
    if (found.lines.size() < 3) {
      found.lines.push_back(fmt::format("row ({}) = ({}) {}", key_names,
                                        rows.text(row, 0), what));
    }
  }
  return found;
}

// All rows of a table of the target's shape.
std::string rows_of(const TableTarget& target, const QualifiedName& table) {
  return (target.partitioned() ? "" : "ONLY ") + table.quoted();
}

std::string count_of(pg::Connection& connection, const std::string& rows) {
  return std::string(
      connection.exec("SELECT pg_catalog.count(*) FROM " + rows).text(0, 0));
}

// With the table's own schema as the search_path, so that a sequence made for
// it is printed in the same way as its twin's.
catalog::Facts shape_of(pg::Connection& connection, const QualifiedName& name) {
  const auto oid = catalog::find_relation(connection, name.schema, name.name);
  const Savepoint path(connection);
  set_search_path(connection, {name.schema});
  return catalog::read_shape(connection, oid.value());
}

// No script may change it; the shadow has it early (hidden.h), and its policies
// come in the exchange.
void without_row_security(catalog::Facts& facts) {
  facts.erase("row security");
}

// CREATE TABLE has no comments, and cannot say what the replica identity is;
// the folding carries them over to it.
void without_carried(catalog::Facts& facts) {
  std::erase_if(facts, [](const auto& fact) {
    return fact.first.starts_with("comment on ") ||
           fact.first == "replica identity";
  });
  constexpr std::string_view kMark = " REPLICA IDENTITY";
  for (auto& [fact, value] : facts) {
    if (fact.starts_with("index ") && value.ends_with(kMark)) {
      value.resize(value.size() - kMark.size());
    }
  }
}

[[noreturn]] void refuse(const script::Script& script,
                         const HandFailure& failure) {
  throw Refused(
      script.error_at(failure.statement().span.begin,
                      fmt::format("by hand the server would refuse this: {}",
                                  failure.what()),
                      ""),
      failure.error().fields().hint.empty() ? "correct the statement"
                                            : failure.error().fields().hint);
}

QualifiedName copy_of_whole(pg::Connection& connection, const Plan& plan,
                            std::size_t table, const std::string& suffix) {
  const Table whole =
      catalog::read_table(connection, plan.sources[table].parent);
  return {.schema = plan.names.by_hand_schema(table, suffix + "_whole"),
          .name = whole.name.name};
}

class Oracle {
 public:
  Oracle(pg::Connection& connection, const script::Script& script, Plan& plan)
      : connection_(&connection), script_(&script), plan_(&plan) {}

  void prove();

 private:
  std::vector<HandTable> hand_tables(const std::string& suffix) const;
  void make_schemas(const std::vector<HandTable>& tables);
  void prove_with_samples();
  void run_by_hand_or_refuse(const std::vector<HandTable>& tables);
  void leave_unknown_effects_out();
  bool rows_break(std::vector<HandTable> tables, std::size_t which,
                  std::vector<RowPlace> rows,
                  const script::Statement& statement);
  void find_rows(const std::vector<HandTable>& tables, std::size_t which,
                 const std::vector<RowPlace>& rows,
                 const script::Statement& statement,
                 std::vector<RowPlace>& found);
  [[noreturn]] void reject(const HandFailure& failure,
                           const std::vector<HandTable>& tables);
  std::vector<std::string> keys_of(const Table& source,
                                   const std::vector<RowPlace>& rows);
  void fill_shadow(std::size_t table);
  bool made_anew(std::size_t table) const;
  void compare(std::size_t table, const QualifiedName& hand);
  void attach(std::size_t table);
  void inherit(std::size_t table);
  std::set<std::string> not_repeated(std::size_t table, const std::string& hand,
                                     const std::vector<std::string>& columns);
  [[noreturn]] void differs(std::size_t table,
                            const std::vector<std::string>& lines) const;

  pg::Connection* connection_;
  const script::Script* script_;
  Plan* plan_;
  Samples samples_;
};

std::vector<HandTable> Oracle::hand_tables(const std::string& suffix) const {
  std::vector<HandTable> tables;
  for (std::size_t i = 0; i < plan_->sources.size(); ++i) {
    const Table& source = plan_->sources[i];
    // As many schemas as there are shadows' schemas.
    const auto schema =
        std::ranges::find(plan_->schemas, plan_->targets[i].shadow.schema) -
        plan_->schemas.begin();
    tables.push_back({.source = &source,
                      .clone = {.schema = plan_->names.by_hand_schema(
                                    static_cast<std::size_t>(schema), suffix),
                                .name = source.name.name},
                      .rows = samples_[i]});
    if (!source.is_leaf()) continue;
    tables.back().whole = copy_of_whole(*connection_, *plan_, i, suffix);
  }
  return tables;
}

void Oracle::make_schemas(const std::vector<HandTable>& tables) {
  std::set<std::string> schemas;
  for (const HandTable& table : tables) {
    schemas.insert(table.clone.schema);
    if (table.whole) schemas.insert(table.whole->schema);
  }
  for (const std::string& schema : schemas) {
    connection_->exec("CREATE SCHEMA " + pg::quote_identifier(schema));
  }
}

void Oracle::prove() {
  bool draws = false;
  for (std::size_t i = 0; i < plan_->targets.size(); ++i) {
    const auto sequence =
        sequence_drawn_from(*connection_, plan_->targets[i], plan_->sources[i]);
    if (!sequence) continue;
    draws = true;
    plan_->warnings.push_back(fmt::format(
        "the script was not tried on rows of {}, since it draws from sequence "
        "{}, which a plan must not do; only the catalogs were compared",
        plan_->sources[i].name.display(), *sequence));
  }
  samples_ = draws ? Samples(plan_->sources.size())
                   : take_samples(*connection_, *plan_);
  for (;;) {
    try {
      const Savepoint everything(*connection_);
      connection_->exec(kStatementLimits);
      prove_with_samples();
      return;
    } catch (const pg::SqlError& error) {
      const bool slow = error.sqlstate() == pg::sqlstate::kQueryCanceled;
      const bool rows = std::ranges::any_of(
          samples_, [](const auto& sample) { return !sample.empty(); });
      if (!slow || !rows) throw;
    }
    for (std::vector<RowPlace>& sample : samples_) {
      sample.resize(sample.size() / kSmallerBy);
    }
    plan_->warnings.emplace_back(
        "the script is slow even on a sample of the rows, so that it was tried "
        "on fewer");
  }
}

void Oracle::prove_with_samples() {
  const std::vector<HandTable> tables = hand_tables("");
  run_by_hand_or_refuse(tables);
  leave_unknown_effects_out();
  for (std::size_t i = 0; i < tables.size(); ++i) {
    fill_shadow(i);
    compare(i, tables[i].clone);
    attach(i);
  }
}

void Oracle::run_by_hand_or_refuse(const std::vector<HandTable>& tables) {
  make_schemas(tables);
  std::optional<HandFailure> failure;
  connection_->exec("SAVEPOINT by_hand");
  try {
    plan_->native =
        run_by_hand(*connection_, *script_, plan_->settings_at_start, tables,
                    plan_->taken, plan_->foreign_keys_of);
    connection_->exec("RELEASE SAVEPOINT by_hand");
    return;
  } catch (const HandFailure& error) {
    failure = error;
  }
  connection_->exec("ROLLBACK TO SAVEPOINT by_hand");
  if (failure->error().sqlstate() == pg::sqlstate::kQueryCanceled) {
    throw pg::SqlError(failure->error());
  }
  if (failure->error().blames_data()) reject(*failure, tables);
  refuse(*script_, *failure);
}

// Without statistics nothing shows that a statement reads all rows.
void Oracle::leave_unknown_effects_out() {
  const pg::Result counts =
      connection_->exec("SELECT pg_catalog.current_setting('track_counts')");
  if (counts.text(0, 0) == "on") return;
  plan_->native.clear();
  plan_->notes.emplace_back(
      "track_counts is off, so that the plan cannot say which statements the "
      "server does without a rewrite");
}

// Whether the same statement fails with only these rows in that table.
bool Oracle::rows_break(std::vector<HandTable> tables, std::size_t which,
                        std::vector<RowPlace> rows,
                        const script::Statement& statement) {
  tables[which].rows = std::move(rows);
  const Savepoint attempt(*connection_);
  try {
    run_by_hand(*connection_, *script_, plan_->settings_at_start, tables,
                plan_->taken, plan_->foreign_keys_of);
    return false;
  } catch (const HandFailure& failure) {
    return &failure.statement() == &statement && failure.error().blames_data();
  }
}

// Halves the rows until those are found that fail by themselves.
void Oracle::find_rows(const std::vector<HandTable>& tables, std::size_t which,
                       const std::vector<RowPlace>& rows,
                       const script::Statement& statement,
                       std::vector<RowPlace>& found) {
  if (rows.empty() || found.size() >= kRejectedKeysShown) return;
  if (!rows_break(tables, which, rows, statement)) return;
  if (rows.size() == 1) {
    found.push_back(rows.front());
    return;
  }
  const auto middle =
      rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2);
  find_rows(tables, which, {rows.begin(), middle}, statement, found);
  find_rows(tables, which, {middle, rows.end()}, statement, found);
}

void Oracle::reject(const HandFailure& failure,
                    const std::vector<HandTable>& tables) {
  std::vector<std::string> keys;
  const script::TableName* name = script::table_of(failure.statement());
  for (std::size_t i = 0; name != nullptr && i < tables.size(); ++i) {
    if (tables[i].clone.name != name->name) continue;
    std::vector<RowPlace> rows;
    find_rows(tables, i, tables[i].rows, failure.statement(), rows);
    for (std::string& key : keys_of(*tables[i].source, rows)) {
      keys.push_back(std::move(key));
    }
  }
  // Rows that only together break it: the server tells their values.
  if (keys.empty()) keys.push_back(failure.error().fields().detail);
  throw DataRejected(
      script_->error_at(
          failure.statement().span.begin,
          fmt::format("rows of the table break this: {}", failure.what()), ""),
      std::move(keys));
}

std::vector<std::string> Oracle::keys_of(const Table& source,
                                         const std::vector<RowPlace>& rows) {
  std::vector<std::string> columns;
  for (const catalog::KeyColumn& column : source.key.value().columns) {
    columns.push_back(pg::quote_identifier(column.name) + "::pg_catalog.text");
  }
  const pg::Result result = connection_->exec(fmt::format(
      "SELECT pg_catalog.concat_ws(', ', {}) FROM {}{} AS s WHERE {}",
      join(columns, ", "), source.partitioned() ? "" : "ONLY ",
      source.name.quoted(), is_one_of("s", rows)));
  std::vector<std::string> keys;
  for (int row = 0; row < result.rows(); ++row) {
    keys.emplace_back(result.text(row, 0));
  }
  return keys;
}

// By a CREATE TABLE that names the whole shape.
bool Oracle::made_anew(std::size_t table) const {
  return std::ranges::any_of(
      script_->statements(), [&](const script::Statement& statement) {
        const auto* create = std::get_if<script::CreateTable>(&statement.body);
        return create != nullptr &&
               create->table.name == plan_->sources[table].name.name;
      });
}

// As copy and index builds do it.
void Oracle::fill_shadow(std::size_t table) {
  const TableTarget& target = plan_->targets[table];
  try {
    ScriptSettings as_script(*connection_, *script_, plan_->settings);
    as_script.enter(plan_->settings);
    connection_->exec(fmt::format(
        "INSERT INTO {} {} {}", target.shadow.quoted(),
        target.select.insert_target(),
        target.select.rows(is_one_of(target.select.alias(), samples_[table]))));
    as_script.leave();
    build_index(*connection_, target.key_index);
    for (const ShadowIndex& index : target.indexes)
      build_index(*connection_, index);
    for (const std::string& late : target.late_constraints) {
      connection_->exec(late);
    }
    if (!target.key_index_is_ours) return;
    for (const std::string& name : target.key_index_names()) {
      connection_->exec("DROP INDEX " +
                        pg::quote_qualified(target.shadow.schema, name));
    }
  } catch (const pg::SqlError& error) {
    if (error.sqlstate() == pg::sqlstate::kQueryCanceled) throw;
    differs(table, {fmt::format("by hand the script succeeds, here the server "
                                "says: {}",
                                error.what())});
  }
}

void Oracle::compare(std::size_t table, const QualifiedName& hand) {
  const TableTarget& target = plan_->targets[table];
  catalog::Facts by_hand = shape_of(*connection_, hand);
  catalog::Facts folded = shape_of(*connection_, target.shadow);
  without_row_security(by_hand);
  without_row_security(folded);
  folded.erase(fmt::format("constraint {}", kBoundCheck));
  if (made_anew(table)) {
    without_carried(by_hand);
    without_carried(folded);
  }
  const auto shape = catalog::differences(by_hand, folded);
  if (!shape.empty()) differs(table, shape);
  const std::vector<std::string> columns =
      compared_columns(*connection_, target);
  const std::string ours = rows_of(target, target.shadow);
  const std::string theirs = rows_of(target, hand);
  RowDifferences rows =
      compare_rows(*connection_, ours, theirs, target.shadow_key, columns);
  if (!rows.columns.empty() && !rows.other_rows) {
    const auto by_chance = not_repeated(table, theirs, columns);
    std::erase_if(rows.columns, [&](const std::string& column) {
      return by_chance.contains(column);
    });
    if (rows.columns.empty()) rows.lines.clear();
  }
  if (rows.lines.empty() &&
      count_of(*connection_, ours) != count_of(*connection_, theirs)) {
    rows.lines.push_back("there would be another number of rows");
  }
  if (!rows.lines.empty()) differs(table, rows.lines);
}

// As the exchange will, to a copy of the table that it is a part of.
void Oracle::attach(std::size_t table) {
  const Table& source = plan_->sources[table];
  if (source.inherits || source.is_parent) return inherit(table);
  if (!source.is_leaf()) return;
  const Savepoint attempt(*connection_);
  const QualifiedName whole =
      copy_of_whole(*connection_, *plan_, table, "_attached");
  connection_->exec("CREATE SCHEMA " + pg::quote_identifier(whole.schema));
  auto refusals =
      try_attach(*connection_, source, plan_->targets[table].shadow, whole);
  if (!refusals.empty()) throw Refused(std::move(refusals));
}

// The same with copies of its parents, and of its children.
void Oracle::inherit(std::size_t table) {
  const Savepoint attempt(*connection_);
  const std::string schema = plan_->names.by_hand_schema(table, "_inherited");
  const std::string below = plan_->names.by_hand_schema(table, "_below");
  for (const std::string& name : {schema, below}) {
    connection_->exec("CREATE SCHEMA " + pg::quote_identifier(name));
  }
  auto refusals = try_inherit(*connection_, plan_->sources[table],
                              plan_->targets[table].shadow, schema);
  if (refusals.empty()) {
    refusals = try_children(*connection_, plan_->sources[table],
                            plan_->targets[table].shadow, below);
  }
  if (!refusals.empty()) throw Refused(std::move(refusals));
}

// Columns in which the original itself gives other values a second time, such
// as an added one's DEFAULT statement_timestamp(), which the plan freezes.
std::set<std::string> Oracle::not_repeated(
    std::size_t table, const std::string& hand,
    const std::vector<std::string>& columns) {
  const Savepoint attempt(*connection_);
  const std::vector<HandTable> again = hand_tables("_again");
  make_schemas(again);
  run_by_hand(*connection_, *script_, plan_->settings_at_start, again,
              plan_->taken, plan_->foreign_keys_of);
  const TableTarget& target = plan_->targets[table];
  return compare_rows(*connection_, rows_of(target, again[table].clone), hand,
                      target.shadow_key, columns)
      .columns;
}

void Oracle::differs(std::size_t table,
                     const std::vector<std::string>& lines) const {
  throw Refused(
      fmt::format("{}: what pgrecast would make of it is not what the script "
                  "makes of it by hand: {}",
                  plan_->sources[table].name.display(), join(lines, "; ")),
      kReport);
}

}  // namespace

void prove_folding(pg::Connection& connection, const script::Script& script,
                   Plan& plan) {
  Oracle(connection, script, plan).prove();
}

void try_on_empty_clones(pg::Connection& connection,
                         const script::Script& script, const Plan& plan) {
  if (std::ranges::none_of(plan.sources, [](const Table& source) {
        return source.is_leaf() || source.inherits || source.is_parent;
      })) {
    return;
  }
  const Savepoint everything(connection);
  std::vector<HandTable> tables;
  for (std::size_t i = 0; i < plan.sources.size(); ++i) {
    const Table& source = plan.sources[i];
    tables.push_back({.source = &source,
                      .clone = {.schema = plan.names.by_hand_schema(i, "_0"),
                                .name = source.name.name},
                      .rows = {}});
    connection.exec("CREATE SCHEMA " +
                    pg::quote_identifier(tables.back().clone.schema));
    if (source.is_parent) {
      tables.back().below = {.schema = tables.back().clone.schema,
                             .name = "pgrecast_below"};
    }
    if (!source.is_leaf()) continue;
    tables.back().whole = copy_of_whole(connection, plan, i, "_0");
    connection.exec("CREATE SCHEMA " +
                    pg::quote_identifier(tables.back().whole->schema));
  }
  try {
    // The script is not folded yet: what the server calls foreign keys is not
    // known.
    run_by_hand(connection, script, plan.settings_at_start, tables, plan.taken,
                {});
  } catch (const HandFailure& failure) {
    refuse(script, failure);
  }
}

}  // namespace pgrecast::plan
