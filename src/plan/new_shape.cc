#include "new_shape.h"

#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

namespace pgrecast::plan {
namespace {

using catalog::Oid;

constexpr const char* kComments = R"sql(
SELECT COALESCE(a.attname, ''),
       CASE WHEN a.attname IS NULL
         THEN pg_catalog.format('COMMENT ON TABLE %s IS %L', $2::pg_catalog.text, d.description)
         ELSE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', $2::pg_catalog.text, a.attname,
                                d.description) END
FROM pg_catalog.pg_description d
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.objoid = $1::pg_catalog.oid)sql";

// $1 the source, $2 the shadow.
constexpr const char* kLost = R"sql(
SELECT 'index ' || c.relname || ' dropped'
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1::pg_catalog.oid AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_index n JOIN pg_catalog.pg_class nc ON nc.oid = n.indexrelid
  WHERE n.indrelid = $2::pg_catalog.oid AND nc.relname = c.relname)
UNION ALL
SELECT 'constraint ' || c.conname || ' dropped'
FROM pg_catalog.pg_constraint c
WHERE c.conrelid = $1::pg_catalog.oid AND c.contype = 'c' AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_constraint n
  WHERE n.conrelid = $2::pg_catalog.oid AND n.conname = c.conname)
UNION ALL
SELECT 'storage parameter ' || o.option || ' dropped'
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL pg_catalog.unnest(c.reloptions) AS o(option)
JOIN pg_catalog.pg_class n ON n.oid = $2::pg_catalog.oid
WHERE c.oid = $1::pg_catalog.oid
  AND pg_catalog.split_part(o.option, '=', 1) <> ALL (ARRAY(
    SELECT pg_catalog.split_part(p, '=', 1) FROM pg_catalog.unnest(n.reloptions) AS p))
UNION ALL
SELECT 'column ' || a.attname || ': ' || s.what || ' dropped'
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_attribute n
  ON n.attrelid = $2::pg_catalog.oid AND n.attname = a.attname AND NOT n.attisdropped
CROSS JOIN LATERAL (VALUES
  ('statistics target', COALESCE(a.attstattarget, -1) >= 0 AND COALESCE(n.attstattarget, -1) < 0),
  ('options ' || a.attoptions::pg_catalog.text,
   a.attoptions IS NOT NULL AND n.attoptions IS NULL),
  ('its storage', a.atttypid = n.atttypid AND a.attstorage <> n.attstorage),
  ('its compression', a.attcompression <> '' AND n.attcompression = '')) AS s(what, lost)
WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped AND s.lost
UNION ALL
SELECT 'replica identity no longer by index ' || c.relname
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class n ON n.oid = $2::pg_catalog.oid AND n.relreplident <> 'i'
WHERE i.indrelid = $1::pg_catalog.oid AND i.indisreplident
ORDER BY 1)sql";

// $1 the source, $2 the shadow, which began with the source's names.
constexpr const char* kMadeBefore = R"sql(
WITH named AS (
  SELECT i.indrelid AS table_oid, 'index' AS kind, c.relname::pg_catalog.text AS name
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  UNION ALL
  SELECT conrelid, 'constraint', conname::pg_catalog.text
  FROM pg_catalog.pg_constraint WHERE contype = 'c')
SELECT kind || ' ' || name FROM named WHERE table_oid = $2::pg_catalog.oid
EXCEPT SELECT kind || ' ' || name FROM named WHERE table_oid = $1::pg_catalog.oid
ORDER BY 1)sql";

constexpr const char* kIdentityStatements = R"sql(
SELECT pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY FULL', $2::pg_catalog.text)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_class shadow
  ON shadow.oid = $2::pg_catalog.regclass AND shadow.relkind = 'r'
WHERE c.oid = $1::pg_catalog.oid AND c.relreplident = 'f'
UNION ALL
SELECT pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I',
                         $2::pg_catalog.text, ic.relname)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class nc ON nc.relname = ic.relname
JOIN pg_catalog.pg_index n ON n.indexrelid = nc.oid
 AND n.indrelid = $2::pg_catalog.regclass
JOIN pg_catalog.pg_class shadow ON shadow.oid = n.indrelid AND shadow.relkind = 'r'
WHERE i.indrelid = $1::pg_catalog.oid AND i.indisreplident)sql";

constexpr const char* kUnfit = R"sql(
SELECT DISTINCT p.pubname
FROM pg_catalog.pg_publication_rel r
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
JOIN pg_catalog.pg_class n ON n.oid = $2::pg_catalog.oid AND n.relkind = 'r'
WHERE r.prrelid = $1::pg_catalog.oid AND (p.pubupdate OR p.pubdelete)
  AND NOT pg_catalog.starts_with(p.pubname, 'pgrecast_')
  AND (n.relreplident = 'n' OR (n.relreplident = 'd' AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = n.oid AND i.indisprimary)))
ORDER BY 1)sql";

}  // namespace

std::vector<std::string> made_before_new_shape(pg::Connection& connection,
                                               Oid source, Oid shadow) {
  const pg::Result found = connection.exec(kMadeBefore, {source, shadow});
  std::vector<std::string> names;
  for (int row = 0; row < found.rows(); ++row) {
    names.emplace_back(found.text(row, 0));
  }
  return names;
}

std::vector<std::pair<std::string, std::string>> comments_by_column(
    pg::Connection& connection, Oid table, const std::string& quoted) {
  const pg::Result found = connection.exec(kComments, {table, quoted});
  std::vector<std::pair<std::string, std::string>> comments;
  for (int row = 0; row < found.rows(); ++row) {
    comments.emplace_back(found.text(row, 0), found.text(row, 1));
  }
  return comments;
}

std::optional<std::string> assignment_problem(
    pg::Connection& connection, const catalog::QualifiedName& shadow,
    const std::string& column, const std::string& from) {
  std::optional<std::string> problem;
  connection.exec("SAVEPOINT assignment");
  try {
    connection.exec(
        fmt::format("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE "
                    "SELECT CAST(NULL AS {}) WHERE false",
                    shadow.quoted(), pg::quote_identifier(column), from));
  } catch (const pg::SqlError& error) {
    problem = error.what();
  }
  connection.exec("ROLLBACK TO SAVEPOINT assignment");
  return problem;
}

void keep_replica_identity(pg::Connection& connection, Oid source,
                           const catalog::QualifiedName& shadow) {
  const pg::Result statements =
      connection.exec(kIdentityStatements, {source, shadow.quoted()});
  for (int row = 0; row < statements.rows(); ++row) {
    connection.exec("SAVEPOINT identity");
    try {
      connection.exec(std::string(statements.text(row, 0)));
    } catch (const pg::SqlError&) {  // another index, of that name
      connection.exec("ROLLBACK TO SAVEPOINT identity");
    }
  }
}

std::optional<Refusal> unfit_to_be_published(pg::Connection& connection,
                                             Oid source, Oid shadow) {
  const pg::Result publications = connection.exec(kUnfit, {source, shadow});
  if (publications.empty()) return std::nullopt;
  return Refusal{
      fmt::format("publication {} publishes the table, and the new one has no "
                  "primary key: its updates would fail",
                  publications.text(0, 0)),
      "give the new table a primary key, or take the table out of the "
      "publication"};
}

std::vector<std::string> lost_by_new_shape(pg::Connection& connection,
                                           Oid source, Oid shadow) {
  const pg::Result found = connection.exec(kLost, {source, shadow});
  std::vector<std::string> lost;
  for (int row = 0; row < found.rows(); ++row) {
    lost.emplace_back(found.text(row, 0));
  }
  return lost;
}

}  // namespace pgrecast::plan
