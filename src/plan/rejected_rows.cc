#include "pgrecast/plan/rejected_rows.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace pgrecast::plan {
namespace {

struct Row {
  std::string heap;   // the table that it lies in
  std::string place;  // its ctid
  std::string key;
};

// Halves the rows until those are found that are refused alone.
void search(pg::Connection& connection, const std::string& insert,
            std::span<const Row> rows, std::vector<std::string>& keys) {
  if (rows.empty() || keys.size() >= kRejectedKeysShown) return;
  std::vector<std::string> heaps;
  std::vector<std::string> places;
  for (const Row& row : rows) {
    heaps.push_back(row.heap);
    places.push_back(row.place);
  }
  if (is_taken(connection, insert,
               {pg::array_literal(places), pg::array_literal(heaps)})) {
    return;
  }
  if (rows.size() == 1) {
    keys.push_back(rows.front().key);
    return;
  }
  const std::size_t half = rows.size() / 2;
  search(connection, insert, rows.first(half), keys);
  search(connection, insert, rows.subspan(half), keys);
}

}  // namespace

bool is_taken(pg::Connection& connection, const std::string& insert,
              const std::vector<pg::Param>& params) {
  connection.exec("SAVEPOINT attempt");
  bool taken = true;
  try {
    connection.exec(insert, params);
  } catch (const pg::SqlError& error) {
    if (!error.blames_data()) throw;
    taken = false;
  }
  connection.exec("ROLLBACK TO SAVEPOINT attempt");
  connection.exec("RELEASE SAVEPOINT attempt");
  return taken;
}

std::string key_shown(const MigratedTable& table) {
  std::vector<std::string> columns;
  for (const catalog::KeyColumn& column : table.source.key.value().columns) {
    columns.push_back(table.target.select.alias() + "." +
                      pg::quote_identifier(column.name) + "::pg_catalog.text");
  }
  return fmt::format("pg_catalog.concat_ws(', ', {})", join(columns, ", "));
}

std::vector<std::string> rejected_rows(pg::Connection& connection,
                                       const MigratedTable& table,
                                       const std::string& from,
                                       const std::string& condition,
                                       const std::vector<pg::Param>& params) {
  const TableTarget& target = table.target;
  const std::string& alias = target.select.alias();
  pg::Transaction transaction(connection);
  const pg::Result found = connection.exec(
      fmt::format(
          "SELECT {0}.ctid, {1}, {0}.tableoid FROM {2} AS {0} WHERE {3}", alias,
          key_shown(table), from, condition),
      params);
  std::vector<Row> rows;
  for (int row = 0; row < found.rows(); ++row) {
    rows.push_back({.heap = std::string(found.text(row, 2)),
                    .place = std::string(found.text(row, 0)),
                    .key = std::string(found.text(row, 1))});
  }
  const std::string insert = fmt::format(
      "INSERT INTO {} {} {}", target.shadow.quoted(),
      target.select.insert_target(),
      target.select.rows(fmt::format(
          "{0}.ctid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.tid[]) AND "
          "EXISTS (SELECT FROM ROWS FROM ("
          "pg_catalog.unnest($2::pg_catalog.oid[]), "
          "pg_catalog.unnest($1::pg_catalog.tid[])) AS u(heap, place) "
          "WHERE u.heap OPERATOR(pg_catalog.=) {0}.tableoid "
          "AND u.place OPERATOR(pg_catalog.=) {0}.ctid)",
          alias)));
  std::vector<std::string> keys;
  search(connection, insert, rows, keys);
  transaction.rollback();
  return keys;
}

}  // namespace pgrecast::plan
