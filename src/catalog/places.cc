#include "pgrecast/catalog/places.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <string>

namespace pgrecast::catalog {
namespace {

// $1: source, $2: target; $3, $4: renamed columns, and their new names. Whether
// a column of the source has another place on the target.
constexpr const char* kMoved = R"sql(
SELECT EXISTS (
  SELECT FROM (
    SELECT COALESCE(m.now, a.attname::pg_catalog.text) AS name,
           pg_catalog.row_number() OVER (ORDER BY a.attnum) AS place
    FROM pg_catalog.pg_attribute a
    LEFT JOIN ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]),
                         pg_catalog.unnest($4::pg_catalog.text[]))
      AS m(was, now) ON m.was = a.attname
    WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0
      AND NOT a.attisdropped) AS old
  LEFT JOIN (
    SELECT a.attname::pg_catalog.text AS name,
           pg_catalog.row_number() OVER (ORDER BY a.attnum) AS place
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = $2::pg_catalog.oid AND a.attnum > 0
      AND NOT a.attisdropped) AS new
    ON new.place = old.place
  WHERE new.name IS DISTINCT FROM old.name))sql";

// $1: source; $2, $3: renamed columns, and their new names. In what the server
// stores, an alias with columns of a table or a join ({0} is an element of a
// list of names); in what it prints, one of the table, or a USING of a column
// that the script renames, which will be printed so then.
constexpr const char* kByPlace = R"sql(
WITH source AS (
  SELECT c.oid, pg_catalog.regexp_replace(
           pg_catalog.quote_ident(n.nspname) || '.'
           || pg_catalog.quote_ident(c.relname), '(\W)', '\\\1', 'g') AS name
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = $1::pg_catalog.oid),
renamed AS (
  SELECT pg_catalog.string_agg(pg_catalog.regexp_replace(
           pg_catalog.quote_ident(r.name), '(\W)', '\\\1', 'g'), '|') AS any_of
  FROM pg_catalog.unnest($2::pg_catalog.text[]
                         || $3::pg_catalog.text[]) AS r(name)),
reader AS (
  SELECT DISTINCT d.classid, d.objid,
         COALESCE(r.ev_action::pg_catalog.text || r.ev_qual::pg_catalog.text,
                  p.prosqlbody::pg_catalog.text,
                  pg_catalog.concat(w.polqual::pg_catalog.text,
                                    w.polwithcheck::pg_catalog.text)) AS tree,
         COALESCE(pg_catalog.pg_get_ruledef(r.oid),
                  pg_catalog.pg_get_function_sqlbody(p.oid),
                  pg_catalog.concat(
                    pg_catalog.pg_get_expr(w.polqual, w.polrelid),
                    pg_catalog.pg_get_expr(w.polwithcheck, w.polrelid)))
           AS printed
  FROM pg_catalog.pg_depend d
  LEFT JOIN pg_catalog.pg_rewrite r
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND r.oid = d.objid
  LEFT JOIN pg_catalog.pg_proc p
    ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
   AND p.oid = d.objid AND p.prosqlbody IS NOT NULL
  LEFT JOIN pg_catalog.pg_policy w
    ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
   AND w.oid = d.objid
  WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = $1::pg_catalog.oid
    AND COALESCE(r.oid, p.oid, w.oid) IS NOT NULL)
SELECT pg_catalog.pg_describe_object(reader.classid, reader.objid, 0)
FROM reader, source, renamed
WHERE reader.tree ~ (':alias \{{ALIAS :aliasname {0}+ :colnames \({1}\)\}} '
                     ':eref \{{ALIAS :aliasname {0}+ :colnames \({1}\)\}} '
                     ':rtekind (0 :relid ' || source.oid || '|2) ')
   OR reader.tree ~ ':joinmergedcols [1-9]'
      AND (reader.printed ~ (source.name || ' ("([^"]|"")+"|\w+)\(')
           OR reader.printed ~ ('USING \((?:[^)]*, )?(' || renamed.any_of
                               || ')[,)]'))
ORDER BY 1)sql";

}  // namespace

std::vector<Refusal> readers_by_place(pg::Connection& connection,
                                      const Reshaped& table) {
  std::vector<std::string> was;
  std::vector<std::string> now;
  for (const auto& [before, after] : table.renamed) {
    was.push_back(before);
    now.push_back(after);
  }
  const bool moved =
      connection
          .exec(kMoved, {table.source, table.target, pg::array_literal(was),
                         pg::array_literal(now)})
          .boolean(0, 0);
  if (!moved) return {};
  const pg::Result readers = connection.exec(
      fmt::format(fmt::runtime(kByPlace), R"((?:[^ \\]|\\.))",
                  R"((?:[^)\\]|\\.)*)"),
      {table.source, pg::array_literal(was), pg::array_literal(now)});
  std::vector<Refusal> refusals;
  for (int row = 0; row < readers.rows(); ++row) {
    std::string reader(readers.text(row, 0));
    constexpr std::string_view kOfAView = "rule _RETURN on ";
    if (reader.starts_with(kOfAView)) reader.erase(0, kOfAView.size());
    refusals.push_back(
        {.what = fmt::format("{} names columns by their order, which is "
                             "another one in the new table",
                             reader),
         .remedy = "write it without a list of names behind the table's alias "
                   "(AS x (a, b)), and with ON instead of USING for renamed "
                   "columns; or drop it, and create it again afterwards"});
  }
  return refusals;
}

}  // namespace pgrecast::catalog
