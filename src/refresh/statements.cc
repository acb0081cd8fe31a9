#include "pgrecast/refresh/statements.h"

#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace pgrecast::refresh {
namespace {

using pg::quote_identifier;

// A name that no column of the key has.
std::string number_column(const catalog::Key& key) {
  std::string name = "number";
  while (std::ranges::find(key.columns, name, &catalog::KeyColumn::name) !=
         key.columns.end()) {
    name += '_';
  }
  return name;
}

// The keys as a relation with the source's column names and types; `numbered`:
// and each one's place among the parameters, from 1.
std::string keys_relation(const catalog::Key& key, bool numbered = false) {
  std::vector<std::string> arrays;
  std::vector<std::string> names;
  std::vector<std::string> columns;
  for (std::size_t i = 0; i < key.columns.size(); ++i) {
    arrays.push_back(fmt::format("${}::pg_catalog.text[]", i + 1));
    names.push_back(fmt::format("c{}", i + 1));
    columns.push_back(fmt::format("u.c{}::{} AS {}", i + 1, key.columns[i].type,
                                  quote_identifier(key.columns[i].name)));
  }
  // ROWS FROM, since unnest() of several arrays is not to be schema-qualified.
  for (std::string& array : arrays) {
    array = fmt::format("pg_catalog.unnest({})", array);
  }
  if (numbered) {
    names.emplace_back("number");
    columns.push_back("u.number AS " + number_column(key));
  }
  return fmt::format("(SELECT {} FROM ROWS FROM ({}){} AS u({})) AS keys",
                     join(columns, ", "), join(arrays, ", "),
                     numbered ? " WITH ORDINALITY" : "", join(names, ", "));
}

std::string source_match(const catalog::Key& key) {
  std::vector<std::string> conditions;
  for (const catalog::KeyColumn& column : key.columns) {
    const std::string name = quote_identifier(column.name);
    conditions.push_back(
        fmt::format("found.{0} {1} keys.{0}", name, column.equals));
    if (!column.one_form && !rule_on("any_form")) {
      conditions.push_back(fmt::format(
          "pg_catalog.record_image_eq(ROW(found.{0}), ROW(keys.{0}))", name));
    }
  }
  return join(conditions, " AND ");
}

std::string shadow_match(const plan::MigratedTable& table,
                         const std::string& row) {
  const catalog::Key& key = table.source.key.value();
  const std::vector<std::string> values =
      table.target.select.key_expressions("keys");
  std::vector<std::string> conditions;
  for (std::size_t i = 0; i < values.size(); ++i) {
    conditions.push_back(fmt::format(
        "{}.{} {} {}", row, quote_identifier(table.target.shadow_key[i]),
        key.columns[i].equals, values[i]));
  }
  return join(conditions, " AND ");
}

// The ctids of the rows that match, each looked up on its own: OFFSET 0 keeps
// the planner from turning the loop around.
std::string ctids(const std::string& keys, const std::string& table,
                  const std::string& match) {
  return fmt::format(
      "ANY (ARRAY(SELECT looked_up.ctid FROM {} CROSS JOIN LATERAL "
      "(SELECT found.ctid FROM ONLY {} AS found WHERE {} OFFSET 0) AS "
      "looked_up))",
      keys, table, match);
}

// The same where a ctid alone says nothing: the rows themselves, each key
// looked up in the leaves that may hold it. A key stands once among `keys`, as
// it has one form: the plan sees to that.
std::string rows_in_leaves(const std::string& keys, const std::string& root,
                           const std::string& match) {
  return fmt::format(
      "(SELECT looked_up.* FROM {} CROSS JOIN LATERAL (SELECT found.ctid, "
      "found.tableoid, found.* FROM {} AS found WHERE {} OFFSET 0) AS "
      "looked_up)",
      keys, root, match);
}

// Whether the shadow lacks a source's row: it may have it from another form of
// its key, in an earlier batch. OFFSET 0 as above.
std::string not_there(const plan::MigratedTable& table) {
  const plan::SelectList& select = table.target.select;
  const std::vector<std::string> values =
      select.key_expressions(select.alias());
  std::vector<std::string> conditions;
  for (std::size_t i = 0; i < values.size(); ++i) {
    conditions.push_back(fmt::format(
        "there.{} {} {}", quote_identifier(table.target.shadow_key[i]),
        table.source.key.value().columns[i].equals, values[i]));
  }
  return fmt::format("NOT EXISTS (SELECT FROM {} AS there WHERE {} OFFSET 0)",
                     table.target.shadow.quoted(), join(conditions, " AND "));
}

// The rows in the order of the shadow's key index, where the buffer keeps keys
// in another: the index's leaves are then written one after the other, a fifth
// fewer pages where the keys lie far apart (docs/architecture.md).
std::string in_key_order(const plan::MigratedTable& table) {
  const std::vector<catalog::KeyColumn>& columns =
      table.source.key.value().columns;
  const bool ordered =
      std::ranges::none_of(columns, [](const catalog::KeyColumn& column) {
        return column.form == catalog::KeyForm::kRaw;
      });
  if (ordered) return "";
  std::vector<std::string> order;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    order.push_back(fmt::format("{}.{} USING {}", table.target.select.alias(),
                                quote_identifier(table.target.shadow_key[i]),
                                columns[i].less));
  }
  return " ORDER BY " + join(order, ", ");
}

// A ctid says nothing without its table, so the rows are found in all leaves
// (the server leaves out those that cannot hold the key), and each leaf's are
// deleted there.
std::string delete_from_leaves(const plan::MigratedTable& table,
                               const std::string& keys) {
  std::string statement = fmt::format(
      "WITH doomed AS MATERIALIZED (SELECT looked_up.heap, looked_up.place "
      "FROM "
      "{} CROSS JOIN LATERAL (SELECT found.tableoid AS heap, found.ctid AS "
      "place "
      "FROM {} AS found WHERE {} OFFSET 0) AS looked_up)",
      keys, table.target.shadow.quoted(), shadow_match(table, "found"));
  int number = 0;
  for (const catalog::QualifiedName& leaf : table.target.heaps()) {
    statement += fmt::format(
        ", leaf_{} AS (DELETE FROM ONLY {} AS gone WHERE gone.ctid "
        "OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT doomed.place FROM doomed "
        "WHERE doomed.heap "
        "OPERATOR(pg_catalog.=) {}::pg_catalog.regclass)))",
        ++number, leaf.quoted(), pg::quote_literal(leaf.quoted()));
  }
  return statement + " SELECT";
}

}  // namespace

Statements::Statements(const plan::MigratedTable& table) {
  const catalog::Key& key = table.source.key.value();
  const plan::TableTarget& target = table.target;
  const std::string keys = keys_relation(key);
  const std::string shadow = target.shadow.quoted();
  delete_keys_ =
      target.partitioned()
          ? delete_from_leaves(table, keys)
          : fmt::format(
                "DELETE FROM ONLY {} AS gone WHERE gone.ctid "
                "OPERATOR(pg_catalog.=) {}",
                shadow, ctids(keys, shadow, shadow_match(table, "found")));
  for (const catalog::QualifiedName& heap : target.heaps()) {
    delete_keys_in_blocks_.push_back(fmt::format(
        "DELETE FROM ONLY {} AS gone USING {} WHERE {} AND gone.ctid "
        "OPERATOR(pg_catalog.>=) ${}::pg_catalog.tid AND gone.ctid "
        "OPERATOR(pg_catalog.<) ${}::pg_catalog.tid",
        heap.quoted(), keys, shadow_match(table, "gone"),
        key.columns.size() + 1, key.columns.size() + 2));
  }
  if (table.source.partitioned()) {
    keys_from_ = rows_in_leaves(keys, target.select.from(), source_match(key));
    keys_condition_ = "true";
  } else {
    keys_from_ = target.select.from();
    keys_condition_ =
        fmt::format("{}.ctid OPERATOR(pg_catalog.=) {}", target.select.alias(),
                    ctids(keys, target.source.quoted(), source_match(key)));
  }
  if (!key.one_form() && rule_on("any_form")) {
    keys_condition_ += " AND " + not_there(table);
  }
  insert_keys_ = fmt::format(
      "INSERT INTO {} {} {}{}", shadow, target.select.insert_target(),
      target.select.rows(keys_condition_, keys_from_), in_key_order(table));
  insert_what_is_free_ = insert_keys_ + " ON CONFLICT DO NOTHING";
  keys_kept_out_ = fmt::format(
      "SELECT keys.{0} FROM {1} WHERE EXISTS (SELECT FROM {2}{3} AS found "
      "WHERE {4} OFFSET 0) AND NOT EXISTS (SELECT FROM {5} AS found WHERE {6} "
      "OFFSET 0) ORDER BY keys.{0}",
      number_column(key), keys_relation(key, true),
      table.source.partitioned() ? "" : "ONLY ", target.source.quoted(),
      source_match(key), shadow, shadow_match(table, "found"));
  empty_shadow_ = "TRUNCATE " + target.whole_shadow();
}

void prefer_key_lookups(pg::Connection& connection) {
  connection.exec(
      "SET enable_seqscan = off; SET enable_hashjoin = off;"
      "SET enable_mergejoin = off; SET enable_bitmapscan = off;"
      "SET enable_nestloop = on; SET enable_indexscan = on;"
      "SET enable_tidscan = on;"
      "SET max_parallel_workers_per_gather = 0");
}

void prefer_hashes(pg::Connection& connection) {
  connection.exec(
      "SET enable_hashjoin = on; SET enable_nestloop = off;"
      "SET enable_mergejoin = off; SET enable_seqscan = on;"
      "SET enable_tidscan = on;"
      "SET max_parallel_workers_per_gather = 0");
}

}  // namespace pgrecast::refresh
