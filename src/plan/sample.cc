#include "sample.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include "savepoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace pgrecast::plan {
namespace {

using catalog::Column;
using catalog::Table;

constexpr std::int64_t kBlocks = 200;
constexpr std::size_t kRandomRows = 1000;
constexpr std::size_t kLeavesMax = 20;
constexpr std::int64_t kRowBytesMax = std::int64_t{1} << 20;
constexpr std::int64_t kSampleBytesMax = std::int64_t{16} << 20;
// Beyond it a value may have to be fetched from the TOAST table to be compared.
constexpr int kOrderedBytesMax = 2000;
// A statement of the sample gives up by itself, so that nobody's ALTER TABLE
// has to wait behind our lock.
constexpr const char* kStatementTime = "SET LOCAL statement_timeout = 1500";

struct SampledColumn {
  std::string name;  // quoted
  bool nullable = true;
  bool varlena = false;
  bool ordered = false;
  std::string length;  // an expression, empty for fixed lengths
};

std::optional<pg::Result> try_query(pg::Connection& connection,
                                    const std::string& sql) {
  const Savepoint savepoint(connection);
  try {
    return connection.exec(sql);
  } catch (const pg::SqlError&) {
    return std::nullopt;
  }
}

// The server decides whether a type has an order; nothing is read.
bool has_order(pg::Connection& connection, const Table& source,
               const std::string& list) {
  return try_query(connection, fmt::format("SELECT FROM ONLY {} ORDER BY {} "
                                           "LIMIT 0",
                                           source.name.quoted(), list))
      .has_value();
}

std::string length_of(const Column& column, const std::string& name,
                      bool varlena) {
  if (!varlena) return "";
  // These are answered without fetching a TOASTed value.
  constexpr std::array<catalog::Oid, 6> kHaveLength = {17,   25,   1042,
                                                       1043, 1560, 1562};
  const bool known =
      std::ranges::find(kHaveLength, column.base_type_oid) != kHaveLength.end();
  return fmt::format("pg_catalog.{}({})",
                     known ? "octet_length" : "pg_column_size", name);
}

std::vector<SampledColumn> sampled_columns(pg::Connection& connection,
                                           const Table& source) {
  const pg::Result varlena = connection.exec(
      "SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attlen = -1"
      " AND a.attrelid = $1::pg_catalog.oid",
      {source.oid});
  std::set<std::string_view> variable;
  for (int row = 0; row < varlena.rows(); ++row) {
    variable.insert(varlena.text(row, 0));
  }
  std::vector<std::string> names;
  std::vector<SampledColumn> columns;
  for (const Column& column : source.columns) {
    if (column.generated) continue;
    const std::string name = pg::quote_identifier(column.name);
    const bool varies = variable.contains(column.name);
    names.push_back(name);
    columns.push_back({.name = name,
                       .nullable = !column.not_null,
                       .varlena = varies,
                       .length = length_of(column, name, varies)});
  }
  const bool all =
      !names.empty() && has_order(connection, source, join(names, ", "));
  for (SampledColumn& column : columns) {
    column.ordered = all || has_order(connection, source, column.name);
  }
  return columns;
}

// What a row takes, without fetching TOASTed values.
std::string size_of(const std::vector<SampledColumn>& columns) {
  std::string size = "0";
  for (const SampledColumn& column : columns) {
    if (!column.varlena) continue;
    size += fmt::format(" + COALESCE(pg_catalog.pg_column_size({}), 0)",
                        column.name);
  }
  return size;
}

// Columns by which a plain b-tree finds the least and the greatest value.
std::vector<std::string> indexed_columns(pg::Connection& connection,
                                         const Table& source) {
  const pg::Result result = connection.exec(R"sql(
SELECT DISTINCT a.attname
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_am am ON am.oid = ic.relam AND am.amname = 'btree'
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[0] AND oc.opcdefault
WHERE i.indrelid = $1::pg_catalog.oid AND i.indisvalid AND i.indpred IS NULL
  AND i.indkey[0] > 0 AND i.indcollation[0] = a.attcollation)sql",
                                            {source.oid});
  std::vector<std::string> columns;
  for (int row = 0; row < result.rows(); ++row) {
    columns.push_back(pg::quote_identifier(result.text(row, 0)));
  }
  return columns;
}

void probe_indexes(pg::Connection& connection, const Table& source,
                   const std::string& size, Deadline deadline,
                   std::set<std::string>& ctids) {
  const auto columns = indexed_columns(connection, source);
  const Savepoint settings(connection);
  connection.exec(
      "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; "
      "SET LOCAL enable_sort = off");
  connection.exec(kStatementTime);
  for (const std::string& column : columns) {
    for (const char* wanted :
         {"{0} IS NOT NULL ORDER BY {0}", "{0} IS NOT NULL ORDER BY {0} DESC",
          "{0} IS NULL"}) {
      if (deadline.passed()) return;
      const auto found = try_query(
          connection, fmt::format("SELECT ctid FROM ONLY {} WHERE {} LIMIT 1",
                                  source.name.quoted(),
                                  fmt::format(fmt::runtime(wanted), column)));
      if (!found || found->empty()) continue;
      const auto fits = try_query(
          connection,
          fmt::format("SELECT FROM ONLY {} WHERE ctid = {} AND {} <= {}",
                      source.name.quoted(),
                      pg::quote_literal(found->text(0, 0)), size,
                      kRowBytesMax));
      if (fits && !fits->empty()) ctids.emplace(found->text(0, 0));
    }
  }
}

// The blocks looked at: all of them, or the first, the last and some between.
std::string blocks_query(std::int64_t blocks, std::int64_t wanted) {
  if (blocks <= wanted) {
    return fmt::format("SELECT b FROM pg_catalog.generate_series(0, {}) AS b",
                       blocks - 1);
  }
  return fmt::format(
      "SELECT pg_catalog.floor(pg_catalog.random() * {})::pg_catalog.int8 AS b "
      "FROM pg_catalog.generate_series(1, {}) UNION SELECT 0 UNION SELECT {}",
      blocks, wanted, blocks - 1);
}

std::string extremes_query(const SampledColumn& column, std::size_t number) {
  std::string branches;
  const auto add = [&](const std::string& where, const std::string& order) {
    branches += fmt::format(
        " UNION ALL (SELECT c FROM pool WHERE size <= {} AND {} {} LIMIT 1)",
        kRowBytesMax, where, order);
  };
  const std::string value = fmt::format("c{}", number);
  if (column.nullable) add(value + " IS NULL", "");
  if (!column.length.empty()) {
    const std::string length = fmt::format("l{}", number);
    add(length + " IS NOT NULL", fmt::format("ORDER BY {} DESC", length));
  }
  if (!column.ordered) return branches;
  const std::string small =
      column.varlena ? fmt::format("pg_catalog.pg_column_size({}) <= {}", value,
                                   kOrderedBytesMax)
                     : value + " IS NOT NULL";
  add(small, "ORDER BY " + value);
  add(small, fmt::format("ORDER BY {} DESC", value));
  return branches;
}

// Block numbers and every place within a block, as ctids: so only those blocks
// are read, whatever the table's size. (TABLESAMPLE would look at the number of
// each block there is.)
std::string pool_query(const Table& source,
                       const std::vector<SampledColumn>& columns,
                       const std::string& size, const std::string& blocks,
                       bool extremes, std::size_t rows_max) {
  std::string list;
  std::string branches;
  for (std::size_t i = 0; extremes && i < columns.size(); ++i) {
    list += fmt::format(", {} AS c{}", columns[i].name, i);
    if (!columns[i].length.empty()) {
      list += fmt::format(", {} AS l{}", columns[i].length, i);
    }
    branches += extremes_query(columns[i], i);
  }
  return fmt::format(
      R"sql(
WITH block AS MATERIALIZED ({0}),
pool AS MATERIALIZED (
  SELECT ctid AS c, pg_catalog.random() AS r, {1} AS size{2} FROM ONLY {3}
  WHERE ctid = ANY (ARRAY(
    SELECT pg_catalog.format('(%s,%s)', b, o)::pg_catalog.tid
    FROM block CROSS JOIN pg_catalog.generate_series(1,
      pg_catalog.current_setting('block_size')::pg_catalog.int4 / 28) AS o)))
(SELECT c FROM (SELECT c, r, pg_catalog.sum(size) OVER (ORDER BY r) AS bytes,
                       pg_catalog.row_number() OVER (ORDER BY r) AS n
                FROM pool WHERE size <= {4}) AS picked
 WHERE bytes <= {5} OR n <= 3 ORDER BY r LIMIT {6}){7})sql",
      blocks, size, list, source.name.quoted(), kRowBytesMax, kSampleBytesMax,
      rows_max, branches);
}

void look_into_blocks(pg::Connection& connection, const Table& source,
                      const std::vector<SampledColumn>& columns,
                      const std::string& size, std::size_t rows_max,
                      Deadline deadline, std::set<std::string>& ctids) {
  struct Attempt {
    std::int64_t blocks;
    bool extremes;
  };
  const std::int64_t blocks = catalog::count_blocks(connection, source.oid);
  if (blocks == 0) return;
  const Savepoint settings(connection);
  connection.exec(kStatementTime);
  connection.exec("SET LOCAL enable_seqscan = off");
  for (const Attempt& attempt :
       {Attempt{kBlocks, true}, {kBlocks / 10, true}, {kBlocks / 10, false}}) {
    if (deadline.passed()) return;
    const auto found =
        try_query(connection, pool_query(source, columns, size,
                                         blocks_query(blocks, attempt.blocks),
                                         attempt.extremes, rows_max));
    if (!found) continue;
    for (int row = 0; row < found->rows(); ++row) {
      ctids.emplace(found->text(row, 0));
    }
    return;
  }
}

std::vector<RowPlace> sample_of_heap(pg::Connection& connection,
                                     const Table& heap, std::size_t rows_max,
                                     Deadline deadline) {
  const auto columns = sampled_columns(connection, heap);
  const std::string size = size_of(columns);
  std::set<std::string> ctids;
  look_into_blocks(connection, heap, columns, size, rows_max, deadline, ctids);
  probe_indexes(connection, heap, size, deadline, ctids);
  std::vector<RowPlace> places;
  for (const std::string& ctid : ctids) {
    places.push_back({.heap = heap.oid, .ctid = ctid});
  }
  return places;
}

// The first, the last and some between.
std::vector<catalog::Heap> chosen_leaves(
    const std::vector<catalog::Heap>& leaves) {
  if (leaves.size() <= kLeavesMax) return leaves;
  std::vector<catalog::Heap> chosen;
  for (std::size_t i = 0; i < kLeavesMax; ++i) {
    chosen.push_back(leaves[i * (leaves.size() - 1) / (kLeavesMax - 1)]);
  }
  return chosen;
}

}  // namespace

std::vector<RowPlace> take_sample(pg::Connection& connection,
                                  const Table& source, Deadline deadline) {
  if (!source.partitioned()) {
    return sample_of_heap(connection, source, kRandomRows, deadline);
  }
  const auto leaves =
      chosen_leaves(catalog::read_leaves(connection, source.oid));
  std::vector<RowPlace> places;
  for (const catalog::Heap& leaf : leaves) {
    Table heap = source;
    heap.oid = leaf.oid;
    heap.name = leaf.name;
    for (RowPlace& place : sample_of_heap(
             connection, heap, kRandomRows / leaves.size(), deadline)) {
      places.push_back(std::move(place));
    }
  }
  return places;
}

std::string is_one_of(const std::string& alias,
                      const std::vector<RowPlace>& places) {
  std::map<catalog::Oid, std::vector<std::string>> by_heap;
  for (const RowPlace& place : places) {
    by_heap[place.heap].push_back(place.ctid);
  }
  std::vector<std::string> conditions;
  for (const auto& [heap, ctids] : by_heap) {
    conditions.push_back(
        fmt::format("({0}.tableoid OPERATOR(pg_catalog.=) {1}::pg_catalog.oid "
                    "AND {0}.ctid OPERATOR(pg_catalog.=) ANY "
                    "({2}::pg_catalog.tid[]))",
                    alias, heap, pg::quote_literal(pg::array_literal(ctids))));
  }
  return conditions.empty() ? "false" : "(" + join(conditions, " OR ") + ")";
}

}  // namespace pgrecast::plan
