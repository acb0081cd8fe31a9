#include "held_dependents.h"

#include "pgrecast/catalog/table.h"

namespace pgrecast::exchange {
namespace {

// The time grows with the square of the columns: 20 took 0.4 ms, 200 took 13
// ms, and 1,600 took 430 ms. With more than this the last milliseconds, in
// which a GRANT on a column would be too late without being told so, are left
// to chance.
constexpr int kColumnsMax = 400;

// $1: the sources, $2: columns. COMMENT, too, since ALTER STATISTICS takes no
// lock that another COMMENT would wait for. A table's and a column's options
// are reset where they have none: that writes the row, whatever kind it is of.
constexpr const char* kHeld = R"sql(
SELECT pg_catalog.format('ALTER ROUTINE %s SECURITY %s',
         f.oid::pg_catalog.regprocedure,
         CASE WHEN f.prosecdef THEN 'DEFINER' ELSE 'INVOKER' END)
FROM pg_catalog.pg_proc f
WHERE f.prosqlbody IS NOT NULL AND f.oid IN (
  SELECT d.objid FROM pg_catalog.pg_depend d
  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = ANY ($1::pg_catalog.oid[]))
UNION ALL
SELECT pg_catalog.format('ALTER STATISTICS %1$I.%2$I SET STATISTICS %3$s;'
         'COMMENT ON STATISTICS %1$I.%2$I IS %4$L', n.nspname, s.stxname,
         COALESCE(s.stxstattarget, -1),
         pg_catalog.obj_description(s.oid, 'pg_statistic_ext'))
FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = ANY ($1::pg_catalog.oid[])
UNION ALL
SELECT pg_catalog.format('ALTER TABLE ONLY %I.%I %s', n.nspname, c.relname,
         COALESCE((SELECT 'SET (' || o || ')'
                   FROM pg_catalog.unnest(c.reloptions) AS o
                   WHERE o LIKE 'fillfactor=%'), 'RESET (fillfactor)'))
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::pg_catalog.oid[])
UNION ALL
SELECT pg_catalog.format('ALTER TABLE ONLY %I.%I ', n.nspname, c.relname)
       || pg_catalog.string_agg(pg_catalog.format('ALTER %I ', a.attname)
            || COALESCE('SET (' || pg_catalog.array_to_string(a.attoptions, ', ')
                        || ')', 'RESET (n_distinct)'), ', ' ORDER BY a.attnum)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = ANY ($1::pg_catalog.oid[])
GROUP BY n.nspname, c.relname
HAVING pg_catalog.count(*) <= $2::pg_catalog.int8)sql";

}  // namespace

std::vector<std::string> hold_dependents(
    pg::Connection& connection, const std::vector<ExchangeTable>& tables) {
  std::vector<catalog::Oid> sources;
  sources.reserve(tables.size());
  for (const ExchangeTable& table : tables) sources.push_back(table.source_oid);
  const pg::Result result =
      connection.exec(kHeld, {catalog::oid_array(sources), kColumnsMax});
  std::vector<std::string> statements;
  for (int row = 0; row < result.rows(); ++row) {
    statements.emplace_back(result.text(row, 0));
  }
  return statements;
}

}  // namespace pgrecast::exchange
