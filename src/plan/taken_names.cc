#include "taken_names.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <string>

namespace pgrecast::plan {
namespace {

// $1 source, $2 shadow, $3 all sources.
constexpr const char* kTaken = R"sql(
WITH belongs(relation, to_table) AS (
  SELECT i.indexrelid, i.indrelid FROM pg_catalog.pg_index i
  UNION ALL
  SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.deptype IN ('a', 'i'))
SELECT mine.relname, n.nspname,
       CASE mine.relkind WHEN 'S' THEN 'sequence' ELSE 'index' END
FROM belongs b
JOIN pg_catalog.pg_class mine ON mine.oid = b.relation
JOIN pg_catalog.pg_class source ON source.oid = $1::pg_catalog.oid
JOIN pg_catalog.pg_namespace n ON n.oid = source.relnamespace
JOIN pg_catalog.pg_class other
  ON other.relnamespace = source.relnamespace AND other.relname = mine.relname
WHERE b.to_table = $2::pg_catalog.oid
  AND other.oid <> ALL ($3::pg_catalog.oid[])
  AND NOT EXISTS (SELECT FROM belongs o WHERE o.relation = other.oid
                  AND o.to_table = ANY ($3::pg_catalog.oid[]))
ORDER BY 1)sql";

}  // namespace

std::vector<Refusal> taken_names(pg::Connection& connection,
                                 const catalog::Table& source,
                                 catalog::Oid shadow,
                                 const std::vector<catalog::Table>& sources) {
  std::string oids;
  for (const catalog::Table& table : sources) {
    oids += fmt::format("{}{}", oids.empty() ? "{" : ",", table.oid);
  }
  const pg::Result taken =
      connection.exec(kTaken, {source.oid, shadow, oids + "}"});
  std::vector<Refusal> refusals;
  for (int row = 0; row < taken.rows(); ++row) {
    refusals.push_back(
        {fmt::format("{} {} of table {} cannot keep its name: there is "
                     "another {} in schema {}",
                     taken.text(row, 2), taken.text(row, 0),
                     source.name.display(), taken.text(row, 0),
                     taken.text(row, 1)),
         "give it a name that is free, or rename the other one"});
  }
  return refusals;
}

}  // namespace pgrecast::plan
