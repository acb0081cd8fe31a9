// What a table takes on the server's disk now.

#include "reporting.h"

#include <algorithm>

namespace pgrecast::migration {
namespace {

// One row for each heap: a table, or the leaves of one. `known`: it was counted
// (reltuples is -1, or 0 after a restore, where it was not), or it is empty.
constexpr const char* kSizes = R"sql(
WITH heap AS (
  SELECT c.oid, c.reltuples FROM pg_catalog.pg_class c
  WHERE c.relkind = 'r' AND (c.oid = $1::pg_catalog.oid OR c.oid IN (
    SELECT t.relid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS t
    WHERE t.isleaf))),
size AS (
  SELECT GREATEST(h.reltuples, 0) AS rows, h.reltuples,
         pg_catalog.pg_relation_size(h.oid) AS main,
         pg_catalog.pg_table_size(h.oid) AS all_of_it,
         pg_catalog.pg_indexes_size(h.oid) AS indexes
  FROM heap h)
SELECT COALESCE(pg_catalog.sum(s.rows), 0)::pg_catalog.int8,
       COALESCE(pg_catalog.sum(s.main), 0)::pg_catalog.int8,
       COALESCE(pg_catalog.sum(s.all_of_it - s.main), 0)::pg_catalog.int8,
       COALESCE(pg_catalog.sum(s.indexes), 0)::pg_catalog.int8,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index i
        WHERE i.indrelid = $1::pg_catalog.oid),
       COALESCE(pg_catalog.bool_and(s.reltuples > 0 OR s.main = 0), true)
FROM size s)sql";

}  // namespace

TableSize read_size(pg::Connection& connection, catalog::Oid table) {
  const pg::Result result = connection.exec(kSizes, {table});
  TableSize size;
  size.rows = static_cast<double>(result.number<std::int64_t>(0, 0));
  size.heap_bytes = result.number<std::int64_t>(0, 1);
  size.toast_bytes = result.number<std::int64_t>(0, 2);
  size.index_bytes = result.number<std::int64_t>(0, 3);
  size.index_count = result.number<int>(0, 4);
  size.rows_known = result.boolean(0, 5);
  return size;
}

}  // namespace pgrecast::migration
