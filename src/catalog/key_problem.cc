#include "key_problem.h"

#include <fmt/format.h>

namespace pgrecast::catalog {
namespace {

// What types are made of: domains of their base, arrays of their elements,
// composites of their attributes, ranges of what they range over.
constexpr const char* kReached = R"sql(
reached (attname, type) AS (
  SELECT a.attname, a.atttypid FROM key_attributes a
  UNION
  SELECT reached.attname, part.type FROM reached
  JOIN pg_catalog.pg_type t ON t.oid = reached.type
  CROSS JOIN LATERAL (
    SELECT t.typbasetype AS type WHERE t.typtype = 'd'
    UNION ALL SELECT t.typelem WHERE t.typelem <> 0 AND t.typlen = -1
    UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g
     WHERE g.rngtypid = t.oid OR g.rngmultitypid = t.oid
    UNION ALL SELECT m.atttypid FROM pg_catalog.pg_attribute m
     WHERE t.typtype = 'c' AND m.attrelid = t.typrelid AND m.attnum > 0
      AND NOT m.attisdropped) AS part))sql";

// By their hand-assigned OIDs: money, regproc, regprocedure, regoper,
// regoperator, regclass, regtype, regconfig, regdictionary, regnamespace,
// regrole, regcollation, regdatabase. The text of the first follows
// lc_monetary, that of the others the search_path and the names of what they
// point to: tomorrow it may mean another value, or none.
constexpr const char* kUnsteady =
    "{790,24,2202,2203,2204,2205,2206,3734,3769,4089,4096,4191,8326}";

// Of these encodings the server takes several characters for one of Unicode's
// (NEC's row 13 of EUC_JP, plane 1 of EUC_TW, letters with marks of
// EUC_JIS_2004), and makes one of them from it: the key that comes back is
// another row's. Of all others, whatever can be converted comes back the same.
constexpr const char* kNotExact = "{EUC_JP,EUC_TW,EUC_JIS_2004}";

// Where the key index has another collation than the column, = is not the
// index's, unless both tell the same bytes from each other. A FULL JOIN needs
// an operator that can be merged or hashed.
constexpr const char* kProblemQuery = R"sql(
WITH RECURSIVE key_attributes AS (
  SELECT a.attname, a.atttypid, a.attcollation, i.indcollation[at] AS index_collation,
         i.indclass[at] AS opclass
  FROM pg_catalog.pg_index i
  CROSS JOIN pg_catalog.generate_series(0, i.indnkeyatts - 1) AS at
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[at]
  WHERE i.indexrelid = {0}),
{1}
SELECT pg_catalog.format('column %s is of type %s, whose text depends on settings and names',
         attname, pg_catalog.format_type(type, -1))
FROM reached WHERE type = ANY ('{2}'::pg_catalog.oid[])
UNION ALL
SELECT pg_catalog.format('column %s is of type %s, whose texts in encoding %s are not all '
         'themselves again after UTF-8', attname, pg_catalog.format_type(type, -1),
         pg_catalog.getdatabaseencoding())
FROM reached JOIN pg_catalog.pg_type t ON t.oid = reached.type
WHERE (t.typcollation <> 0 OR t.typtype = 'e')
 AND pg_catalog.getdatabaseencoding() = ANY ('{3}'::pg_catalog.name[])
UNION ALL
SELECT pg_catalog.format('it has another collation than its column %s, and one of the two '
         'takes different texts for equal', k.attname)
FROM key_attributes k
WHERE k.attcollation <> k.index_collation AND EXISTS (
  SELECT FROM pg_catalog.pg_collation co WHERE co.oid IN (k.attcollation, k.index_collation)
   AND NOT co.collisdeterministic)
UNION ALL
SELECT pg_catalog.format('the operator class %s of its column %s has an = that the server can '
         'neither merge nor hash by', oc.opcname, k.attname)
FROM key_attributes k JOIN pg_catalog.pg_opclass oc ON oc.oid = k.opclass
WHERE NOT EXISTS (
  SELECT FROM pg_catalog.pg_amop ao JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
  WHERE ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
   AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
   AND (o.oprcanmerge OR o.oprcanhash))
LIMIT 1)sql";

// The labels of the key's enum types, as `label`.
constexpr const char* kLabels = R"sql(
WITH RECURSIVE key_attributes AS (
  SELECT a.attname, a.atttypid
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid
   AND a.attnum = ANY (i.indkey::pg_catalog.int2[])
  WHERE i.indrelid = {0} AND (i.indisreplident OR i.indisprimary
   OR (c.relreplident = 'f' AND i.indisunique))),
{1},
label AS (
  SELECT DISTINCT e.oid, e.xmin::pg_catalog.text AS xmin, t.typname, e.enumlabel
  FROM reached JOIN pg_catalog.pg_type t ON t.oid = reached.type
  JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid)
)sql";

}  // namespace

std::string key_columns_problem(pg::Connection& connection, Oid index) {
  const pg::Result problem = connection.exec(fmt::format(
      fmt::runtime(kProblemQuery), index, kReached, kUnsteady, kNotExact));
  return problem.empty() ? "" : std::string(problem.text(0, 0));
}

std::string key_labels_query(Oid table) {
  return fmt::format(fmt::runtime(kLabels), table, kReached) +
         "SELECT oid::pg_catalog.text || ' ' || typname || ' ' || enumlabel AS "
         "label FROM label";
}

std::string key_label_rows_query(Oid table) {
  return fmt::format(fmt::runtime(kLabels), table, kReached) +
         "SELECT COALESCE(pg_catalog.string_agg(oid || ' ' || xmin, ', ' ORDER "
         "BY oid), 'none') FROM label";
}

}  // namespace pgrecast::catalog
