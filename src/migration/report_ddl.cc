// The new table as statements that make it.

#include "pgrecast/base/text.h"
#include "pgrecast/pg/quote.h"

#include "column_shape.h"
#include "reporting.h"

#include <fmt/format.h>

namespace pgrecast::migration {
namespace {

// What stands within CREATE TABLE's parentheses, and what follows them.
// NOT VALID has no effect there.
constexpr const char* kInside = R"sql(
SELECT pg_catalog.format('CONSTRAINT %I %s', c.conname,
                         pg_catalog.pg_get_constraintdef(c.oid))
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1::pg_catalog.oid AND c.contype IN ('c', 'p', 'u', 'x')
  AND c.convalidated
ORDER BY c.contype = 'c', c.contype, c.conname)sql";

// What follows the parentheses of CREATE TABLE, or a partition's bounds: of
// `c`, `am` and `ts`.
constexpr const char* kStorage = R"sql(pg_catalog.concat(
         CASE c.relkind WHEN 'p' THEN
           ' PARTITION BY ' || pg_catalog.pg_get_partkeydef(c.oid) END,
         CASE WHEN am.amname <> 'heap' THEN
           pg_catalog.format(' USING %I', am.amname) END,
         ' WITH (' || (
           SELECT pg_catalog.string_agg(pg_catalog.format('%s%s = %L', o.part,
                    o.name, o.value), ', ' ORDER BY o.part, o.name)
           FROM (SELECT '' AS part, p.option_name, p.option_value
                 FROM pg_catalog.pg_options_to_table(c.reloptions) AS p
                 UNION ALL
                 SELECT 'toast.', p.option_name, p.option_value
                 FROM pg_catalog.pg_class tc, pg_catalog.pg_options_to_table(
                   tc.reloptions) AS p
                 WHERE tc.oid = c.reltoastrelid) AS o(part, name, value)) || ')',
         ' TABLESPACE ' || pg_catalog.quote_ident(ts.spcname)))sql";

// $2: the source's quoted name, $3: its quoted schema; {0}: kStorage. The
// server's own CREATE INDEX with the one name in it replaced, whose place is
// proved: the text begins as the server begins it. (Where it does not, it
// stays.)
constexpr const char* kAfter = R"sql(
WITH part AS (
  SELECT tree.relid::pg_catalog.oid AS oid, tree.level,
         tree.parentrelid::pg_catalog.oid AS above,
         CASE tree.level WHEN 0 THEN $2::pg_catalog.text
           ELSE pg_catalog.format('%s.%I', $3::pg_catalog.text, c.relname) END
         AS called
  FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) AS tree
  JOIN pg_catalog.pg_class c ON c.oid = tree.relid
  UNION ALL
  SELECT c.oid, 0, NULL, $2 FROM pg_catalog.pg_class c
  WHERE c.oid = $1::pg_catalog.oid AND c.relkind <> 'p')
SELECT s.statement FROM (
  SELECT 1 AS kind, c.relname AS name, pg_catalog.format(
           'CREATE TABLE %s PARTITION OF %s %s%s', part.called, up.called,
           pg_catalog.pg_get_expr(c.relpartbound, c.oid), {0}) AS statement,
         part.level
  FROM part JOIN part AS up ON up.oid = part.above
  JOIN pg_catalog.pg_class c ON c.oid = part.oid
  LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
  LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace
  WHERE part.level > 0
  UNION ALL
  SELECT 2, part.called || a.attname, pg_catalog.format(
           'ALTER TABLE %s ALTER COLUMN %I %s', part.called, a.attname, s.said),
         part.level
  FROM part
  JOIN pg_catalog.pg_attribute a
    ON a.attrelid = part.oid AND a.attnum > 0 AND NOT a.attisdropped
  CROSS JOIN LATERAL (VALUES
    (CASE WHEN COALESCE(a.attstattarget, -1) >= 0 THEN
       'SET STATISTICS ' || a.attstattarget END),
    ((SELECT pg_catalog.format('SET (%s)', pg_catalog.string_agg(
               pg_catalog.format('%s = %L', o.option_name, o.option_value),
               ', '))
      FROM pg_catalog.pg_options_to_table(a.attoptions) AS o
      WHERE o.option_name <> 'pg_attver' HAVING pg_catalog.count(*) > 0)))
    AS s(said)
  WHERE part.level > 0 AND s.said IS NOT NULL
  UNION ALL
  SELECT 3, c.conname, pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s',
           $2, c.conname, pg_catalog.pg_get_constraintdef(c.oid)), 0
  FROM pg_catalog.pg_constraint c
  WHERE c.conrelid = $1::pg_catalog.oid AND c.contype = 'c'
    AND NOT c.convalidated
  UNION ALL
  SELECT 4, ic.relname, CASE
           WHEN pg_catalog.starts_with(def.text, head.text) THEN
             pg_catalog.concat(made.text, $2, ' ', pg_catalog.substr(def.text,
               pg_catalog.length(head.text) + 1))
           ELSE def.text END, 0
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(i.indexrelid) AS def(text)
  CROSS JOIN LATERAL pg_catalog.format('CREATE %sINDEX %I ON ',
    CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, ic.relname)
    AS made(text)
  CROSS JOIN LATERAL pg_catalog.format('%s%s%I.%I ', made.text,
    CASE c.relkind WHEN 'p' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname)
    AS head(text)
  WHERE i.indrelid = $1::pg_catalog.oid
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                    WHERE k.conindid = i.indexrelid
                      AND k.conrelid = i.indrelid)
  UNION ALL
  SELECT 5, ic.relname, pg_catalog.format(m.text, $2, ic.relname), m.n
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  CROSS JOIN LATERAL (VALUES
    (1, i.indisclustered, 'ALTER TABLE %s CLUSTER ON %I'),
    (2, i.indisreplident, 'ALTER TABLE %s REPLICA IDENTITY USING INDEX %I')
    ) AS m(n, marked, text)
  WHERE i.indrelid = $1::pg_catalog.oid AND m.marked
  UNION ALL
  SELECT 6, '', pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', $2,
           CASE c.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END), 0
  FROM pg_catalog.pg_class c
  WHERE c.oid = $1::pg_catalog.oid AND c.relreplident IN ('f', 'n')
  UNION ALL
  SELECT 7, COALESCE(a.attname, ''), CASE WHEN d.objsubid = 0 THEN
           pg_catalog.format('COMMENT ON TABLE %s IS %L', part.called,
                             d.description)
         ELSE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', part.called,
                                a.attname, d.description) END, d.objsubid
  FROM part
  JOIN pg_catalog.pg_description d
    ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.objoid = part.oid
  LEFT JOIN pg_catalog.pg_attribute a
    ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0) AS s
ORDER BY s.kind, s.level, s.name, s.statement)sql";

}  // namespace

std::vector<std::string> target_ddl(pg::Connection& connection,
                                    const exchange::ExchangeTable& table) {
  const catalog::QualifiedName& name = table.target->source;
  // As the server quotes, that is where it must be only.
  const pg::Result quoted = connection.exec(
      "SELECT pg_catalog.format('%I.%I', $1::pg_catalog.text,"
      " $2::pg_catalog.text), pg_catalog.quote_ident($1)",
      {name.schema, name.name});
  const std::string source(quoted.text(0, 0));
  std::vector<std::string> parts;
  std::vector<std::string> altered;
  for (const ColumnShape& column :
       read_column_shapes(connection, table.shadow_oid)) {
    parts.push_back(fmt::format("  {} {}", column.quoted, column.definition));
    for (const std::string& subcommand : column.altered) {
      altered.push_back(fmt::format("ALTER TABLE {} ALTER COLUMN {} {}", source,
                                    column.quoted, subcommand));
    }
  }
  const pg::Result inside = connection.exec(kInside, {table.shadow_oid});
  for (int row = 0; row < inside.rows(); ++row) {
    parts.push_back(fmt::format("  {}", inside.text(row, 0)));
  }
  const pg::Result behind = connection.exec(
      fmt::format("SELECT {} FROM pg_catalog.pg_class c"
                  " LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam"
                  " LEFT JOIN pg_catalog.pg_tablespace ts"
                  "  ON ts.oid = c.reltablespace"
                  " WHERE c.oid = $1::pg_catalog.oid",
                  kStorage),
      {table.shadow_oid});
  std::vector<std::string> ddl{fmt::format("CREATE TABLE {} (\n{}\n){}", source,
                                           join(parts, ",\n"),
                                           behind.text(0, 0))};
  ddl.insert(ddl.end(), altered.begin(), altered.end());
  const pg::Result after =
      connection.exec(fmt::format(fmt::runtime(kAfter), kStorage),
                      {table.shadow_oid, source, quoted.text(0, 1)});
  for (int row = 0; row < after.rows(); ++row) {
    ddl.emplace_back(after.text(row, 0));
  }
  for (const plan::AddedForeignKey& key : table.target->added_foreign_keys) {
    ddl.push_back(fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}{}", source,
                              pg::quote_identifier(key.name), key.definition,
                              key.validated ? "" : " NOT VALID"));
  }
  return ddl;
}

}  // namespace pgrecast::migration
