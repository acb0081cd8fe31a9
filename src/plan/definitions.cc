#include "definitions.h"

#include "pgrecast/catalog/views.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::plan {
namespace {

using catalog::Oid;
using catalog::QualifiedName;

constexpr int kHasPublicationFilters = 150000;

// Each: what, statement, on which relation. $1: tables (of triggers and rules,
// also views; of defaults, only views), $2: a schema, quoted.
constexpr const char* kTriggers = R"sql(
SELECT pg_catalog.format('trigger %s on %s.%s', t.tgname, n.nspname, c.relname),
       pg_catalog.pg_get_triggerdef(t.oid, true), pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND NOT t.tgisinternal
  AND pg_catalog.pg_table_is_visible(c.oid) AND $2 <> ''
ORDER BY t.oid)sql";

constexpr const char* kRules = R"sql(
SELECT pg_catalog.format('rule %s on %s.%s', r.rulename, n.nspname, c.relname),
       pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid, true), '; '),
       pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_type <> '1' AND pg_catalog.pg_table_is_visible(c.oid) AND $2 <> ''
  AND (c.oid = ANY ($1::pg_catalog.oid[])
       OR r.oid IN (
         SELECT d.objid FROM pg_catalog.pg_depend d
         WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
           AND d.refobjid = ANY ($1::pg_catalog.oid[])))
ORDER BY r.oid)sql";

constexpr const char* kViewDefaults = R"sql(
SELECT pg_catalog.format('the default of column %s of view %s.%s', a.attname, n.nspname,
                         c.relname),
       pg_catalog.format('ALTER VIEW %I ALTER COLUMN %I SET DEFAULT %s', c.relname, a.attname,
                         pg_catalog.pg_get_expr(d.adbin, d.adrelid)),
       pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND pg_catalog.pg_table_is_visible(c.oid)
  AND $2 <> ''
ORDER BY d.oid)sql";

// The definitions that the server prints begin with the schema and the name;
// that part alone is exchanged, and only if it is exactly what it must be.
constexpr const char* kFunctions = R"sql(
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0),
       'CREATE ' || d.kind || ' ' || $2 || '.' || pg_catalog.quote_ident(p.proname)
         || pg_catalog.substr(d.text, pg_catalog.length(d.head)), ''
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
  SELECT pg_catalog.pg_get_functiondef(p.oid) AS text, k.kind,
         'CREATE OR REPLACE ' || k.kind || ' ' || pg_catalog.quote_ident(n.nspname) || '.'
           || pg_catalog.quote_ident(p.proname) || '(' AS head
  FROM (SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END) AS k(kind)) AS d
WHERE p.prosqlbody IS NOT NULL AND pg_catalog.starts_with(d.text, d.head)
  AND p.oid IN (
    SELECT d.objid FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refobjid = ANY ($1::pg_catalog.oid[]))
ORDER BY p.oid)sql";

constexpr const char* kStatistics = R"sql(
SELECT pg_catalog.format('statistics object %s.%s', n.nspname, s.stxname),
       'CREATE STATISTICS ' || $2 || '.' || pg_catalog.quote_ident(s.stxname)
         || pg_catalog.substr(d.text, pg_catalog.length(d.head)),
       pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_statistic_ext s
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid
CROSS JOIN LATERAL (
  SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) AS text,
         'CREATE STATISTICS ' || pg_catalog.quote_ident(n.nspname) || '.'
           || pg_catalog.quote_ident(s.stxname) || ' ' AS head) AS d
WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND pg_catalog.pg_table_is_visible(c.oid)
  AND pg_catalog.starts_with(d.text, d.head)
ORDER BY s.oid)sql";

constexpr const char* kPublications = R"sql(
SELECT pg_catalog.format('publication %s', p.pubname),
       pg_catalog.concat(
         pg_catalog.format('CREATE PUBLICATION pgrecast_tried_%s FOR TABLE %I', r.oid, c.relname),
         (SELECT ' (' || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ') || ')'
          FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)),
         ' WHERE (' || pg_catalog.pg_get_expr(r.prqual, r.prrelid) || ')',
         CASE WHEN p.pubviaroot THEN ' WITH (publish_via_partition_root)' END),
       pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_publication_rel r
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND pg_catalog.pg_table_is_visible(c.oid)
  AND $2 <> '' AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)
ORDER BY r.oid)sql";

constexpr const char* kLabels = R"sql(
SELECT pg_catalog.concat('the security label of ', l.provider, ' on ',
         'column ' || a.attname || ' of ',
         pg_catalog.format('table %s.%s', n.nspname, c.relname)),
       pg_catalog.format('SECURITY LABEL FOR %I ON %s IS %L', l.provider,
         CASE l.objsubid WHEN 0 THEN pg_catalog.format('TABLE %I', c.relname)
              ELSE pg_catalog.format('COLUMN %I.%I', c.relname, a.attname) END, l.label),
       pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_seclabel l
JOIN pg_catalog.pg_class c
  ON l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = l.objoid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attnum = l.objsubid AND l.objsubid <> 0
WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND pg_catalog.pg_table_is_visible(c.oid)
  AND (l.objsubid = 0 OR EXISTS (  -- else it goes with the column
    SELECT FROM pg_catalog.pg_attribute na
    WHERE na.attrelid = pg_catalog.to_regclass($2 || '.' || pg_catalog.quote_ident(c.relname))
      AND na.attname = a.attname AND NOT na.attisdropped))
ORDER BY l.provider, c.oid, l.objsubid)sql";

}  // namespace

std::vector<Definition> read_definitions(pg::Connection& connection,
                                         const std::vector<Oid>& tables,
                                         const std::vector<Oid>& views,
                                         const std::string& schema) {
  std::vector<Oid> both = tables;
  both.insert(both.end(), views.begin(), views.end());
  std::vector<Definition> all;
  const auto read = [&](const char* query, const std::vector<Oid>& of,
                        const char* remedy = "") {
    const pg::Result result = connection.exec(
        query, {catalog::oid_array(of), pg::quote_identifier(schema)});
    for (int row = 0; row < result.rows(); ++row) {
      Definition one;
      one.what = result.text(row, 0);
      one.sql = result.text(row, 1);
      one.on = result.text(row, 2);
      one.remedy = remedy;
      all.push_back(std::move(one));
    }
  };
  read(kTriggers, both);
  read(kRules, both);
  read(kViewDefaults, views);
  read(kFunctions, tables);
  read(kStatistics, tables);
  read(kLabels, tables,
       "let the server load the provider in every session "
       "(session_preload_libraries), or remove the label and restore it after "
       "the migration");
  if (connection.server_version() >= kHasPublicationFilters) {
    read(kPublications, tables);
  }
  return all;
}

std::vector<QualifiedName> tables_with_rules(
    pg::Connection& connection, const std::vector<Oid>& relations) {
  const pg::Result result = connection.exec(
      R"sql(
SELECT DISTINCT n.nspname, c.relname
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = ANY ($1::pg_catalog.oid[])
  AND c.oid <> ALL ($1::pg_catalog.oid[])
ORDER BY 1, 2)sql",
      {catalog::oid_array(relations)});
  std::vector<QualifiedName> names;
  for (int row = 0; row < result.rows(); ++row) {
    names.push_back({.schema = std::string(result.text(row, 0)),
                     .name = std::string(result.text(row, 1))});
  }
  return names;
}

}  // namespace pgrecast::plan
