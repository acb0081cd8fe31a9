#include "pgrecast/catalog/shape.h"

#include <fmt/format.h>

namespace pgrecast::catalog {
namespace {

// What is on the table itself. (Releases of late 2026 keep a mark of their own
// among the column options, pg_attver: a WAL position, no two tables' alike.)
constexpr const char* kShape = R"sql(
SELECT 'column ' || a.attname AS fact,
       pg_catalog.format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE '
               || a.attcollation::pg_catalog.regcollation::pg_catalog.text
               ELSE '' END
       || CASE WHEN a.attnotnull AND NOT EXISTS (
               -- Where old rows break it, the constraint says so itself.
               SELECT FROM pg_catalog.pg_constraint n
               WHERE n.conrelid = a.attrelid AND n.contype = 'n'
                 AND n.conkey[1] = a.attnum AND NOT n.convalidated)
               THEN ' NOT NULL' ELSE '' END
       || CASE a.attgenerated WHEN '' THEN ' DEFAULT '
               ELSE ' GENERATED (' || a.attgenerated::pg_catalog.text || ') ' END
       || COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '-')
       || ' IDENTITY ' || COALESCE(NULLIF(a.attidentity::pg_catalog.text, ''), '-')
       || ' STORAGE ' || a.attstorage::pg_catalog.text
       || ' COMPRESSION ' || COALESCE(NULLIF(a.attcompression::pg_catalog.text, ''), '-')
       || ' STATISTICS ' || COALESCE(a.attstattarget, -1)::pg_catalog.text
       || COALESCE((SELECT ' ' || pg_catalog.string_agg(o.text, ' ' ORDER BY 1)
                    FROM pg_catalog.unnest(a.attoptions) AS o(text)
                    WHERE o.text NOT LIKE 'pg\_attver=%'), '') AS value
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'column order', pg_catalog.string_agg(a.attname, ', ' ORDER BY a.attnum)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint ' || c.conname, pg_catalog.pg_get_constraintdef(c.oid)
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1 AND c.contype NOT IN ('f', 't')
UNION ALL
SELECT 'index ' || ic.relname,
       CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END
       || pg_catalog.substr(def.text, pg_catalog.strpos(def.text, ' USING '))
       || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
       || CASE WHEN i.indisclustered THEN ' CLUSTERED' ELSE '' END
       || CASE WHEN i.indisreplident THEN ' REPLICA IDENTITY' ELSE '' END
       || COALESCE(' TABLESPACE ' || ts.spcname, '')
       || COALESCE((SELECT ' STATISTICS ' || pg_catalog.string_agg(
              ia.attnum || ':' || ia.attstattarget, ',' ORDER BY ia.attnum)
            FROM pg_catalog.pg_attribute ia
            WHERE ia.attrelid = i.indexrelid AND ia.attstattarget >= 0), '')
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = ic.reltablespace
CROSS JOIN LATERAL pg_catalog.pg_get_indexdef(i.indexrelid) AS def(text)
WHERE i.indrelid = $1
UNION ALL
SELECT kind.fact, kind.value
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
CROSS JOIN LATERAL (VALUES
  ('owner', pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text),
  ('replica identity', c.relreplident::pg_catalog.text),
  ('persistence', c.relpersistence::pg_catalog.text),
  ('tablespace', ts.spcname::pg_catalog.text),
  ('access method', am.amname::pg_catalog.text),
  ('row security', pg_catalog.concat(
     CASE WHEN c.relrowsecurity THEN 'enabled ' END,
     CASE WHEN c.relforcerowsecurity THEN 'forced' END))) AS kind(fact, value)
WHERE c.oid = $1
UNION ALL
SELECT 'option ' || o.option_name, o.option_value
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL pg_catalog.pg_options_to_table(c.reloptions) AS o
WHERE c.oid = $1
UNION ALL
SELECT 'option toast.' || o.option_name, o.option_value
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_class toast ON toast.oid = c.reltoastrelid
CROSS JOIN LATERAL pg_catalog.pg_options_to_table(toast.reloptions) AS o
WHERE c.oid = $1
UNION ALL
SELECT 'comment on ' || CASE WHEN d.objsubid = 0 THEN 'table'
                        ELSE 'column ' || a.attname END, d.description
FROM pg_catalog.pg_description d
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.objoid = $1
UNION ALL
SELECT 'comment on index ' || ic.relname, d.description
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND d.objoid = i.indexrelid AND d.objsubid = 0
WHERE i.indrelid = $1
UNION ALL
SELECT CASE c.contype WHEN 'f' THEN 'foreign key comment '
                      ELSE 'comment on constraint ' END || c.conname,
       d.description
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_description d
  ON d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
 AND d.objoid = c.oid
WHERE c.conrelid = $1
UNION ALL
SELECT 'identity of column ' || a.attname, s.relname
         || ' ' || pg_catalog.format_type(q.seqtypid, -1)
         || ' START ' || q.seqstart || ' INCREMENT ' || q.seqincrement
         || ' MIN ' || q.seqmin || ' MAX ' || q.seqmax || ' CACHE ' || q.seqcache
         || CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END
         || CASE WHEN s.relpersistence = 'u' THEN ' UNLOGGED' ELSE '' END
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1 AND d.deptype = 'i'
)sql";

}  // namespace

const char* shape_query() {
  return kShape;
}

Facts facts_of(const pg::Result& result) {
  Facts facts;
  for (int row = 0; row < result.rows(); ++row) {
    facts.emplace(result.text(row, 0), result.text(row, 1));
  }
  return facts;
}

Facts read_shape(pg::Connection& connection, Oid table) {
  return facts_of(connection.exec(kShape, {table}));
}

std::vector<std::string> differences(const Facts& expected,
                                     const Facts& actual) {
  std::vector<std::string> lines;
  for (const auto& [fact, value] : expected) {
    const auto found = actual.find(fact);
    if (found == actual.end()) {
      lines.push_back(fmt::format("{} is missing (was: {})", fact, value));
    } else if (found->second != value) {
      lines.push_back(fmt::format("{} is '{}', should be '{}'", fact,
                                  found->second, value));
    }
  }
  for (const auto& [fact, value] : actual) {
    if (!expected.contains(fact)) {
      lines.push_back(fmt::format("{} was not there (is: {})", fact, value));
    }
  }
  return lines;
}

}  // namespace pgrecast::catalog
