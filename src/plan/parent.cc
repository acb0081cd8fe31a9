#include "pgrecast/plan/parent.h"

#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/child.h"

#include "refusals.h"

#include <fmt/format.h>

namespace pgrecast::plan {
namespace {

using catalog::Oid;
using catalog::QualifiedName;
using catalog::Table;

constexpr const char* kChildren = R"sql(
SELECT k.oid, n.nspname, k.relname
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid AND NOT k.relispartition
JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace
WHERE i.inhparent = $1::pg_catalog.oid
ORDER BY k.oid)sql";

// $1: (what, remedy). A child comes to the new table behind its other parents,
// whose order tells where its columns come from.
constexpr const char* kUnfit = R"sql(
WITH RECURSIVE kid AS (
  SELECT k.oid, k.relkind, k.relowner, i.inhseqno,
         pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, k.oid, 0)
         || ' inherits from ' || pg_catalog.pg_describe_object(
           'pg_catalog.pg_class'::pg_catalog.regclass, i.inhparent, 0) AS said
  FROM pg_catalog.pg_inherits i
  JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid AND NOT k.relispartition
  WHERE i.inhparent = $1::pg_catalog.oid),
reader(oid, relkind) AS (
  SELECT $1::pg_catalog.oid, 'r'::"char"
  UNION
  SELECT c.oid, c.relkind FROM reader
  JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refobjid = reader.oid
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
  JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm'))
SELECT said || ', and ' || CASE WHEN relkind = 'r'
         THEN 'belongs to ' || pg_catalog.pg_get_userbyid(relowner)
         ELSE 'cannot be locked' END,
       CASE WHEN relkind = 'r'
            THEN 'run as a member of ' || pg_catalog.pg_get_userbyid(relowner)
            ELSE 'ALTER TABLE .. NO INHERIT, and INHERIT after the migration' END
FROM kid WHERE relkind <> 'r' OR NOT pg_catalog.pg_has_role(relowner, 'USAGE')
UNION ALL
SELECT kid.said || ', and from others after it: their order would change',
       'ALTER TABLE .. NO INHERIT, and INHERIT after the migration'
FROM kid WHERE EXISTS (
  SELECT FROM pg_catalog.pg_inherits i
  WHERE i.inhrelid = kid.oid AND i.inhseqno > kid.inhseqno)
UNION ALL
SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, reader.oid, 0)
         || ' reads a table from which others inherit: filled beforehand, it '
            'would be without their rows',
       'drop it, and create it again after the migration'
FROM reader WHERE relkind = 'm' AND EXISTS (SELECT FROM kid)
ORDER BY 1)sql";

constexpr const char* kFacts = R"sql(
SELECT 'inherited by ' || pg_catalog.format('%I.%I', n.nspname, k.relname),
       pg_catalog.concat_ws(' ', 'as',
         (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits o
          WHERE o.inhrelid = k.oid AND o.inhseqno <= i.inhseqno), 'of',
         (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits o
          WHERE o.inhrelid = k.oid), 'marks',
         pg_catalog.hashtext(pg_catalog.concat(
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, a.attislocal, a.attinhcount)
                   ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped),
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(c.conname, c.conislocal, c.coninhcount)
                   ORDER BY c.conname)
            FROM pg_catalog.pg_constraint c
            WHERE c.conrelid = k.oid AND c.contype IN ('c', 'n')))))
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid AND NOT k.relispartition
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace
WHERE i.inhparent = $1
)sql";

}  // namespace

std::vector<Child> read_children(pg::Connection& connection, Oid table) {
  const pg::Result result = connection.exec(kChildren, {table});
  std::vector<Child> children;
  for (int row = 0; row < result.rows(); ++row) {
    children.push_back({.oid = result.number<Oid>(row, 0),
                        .name = {.schema = std::string(result.text(row, 1)),
                                 .name = std::string(result.text(row, 2))}});
  }
  return children;
}

std::vector<Refusal> unfit_parent(pg::Connection& connection,
                                  const Table& table) {
  return read_refusals(connection.exec(kUnfit, {table.oid}));
}

const char* parent_facts_query() {
  return kFacts;
}

std::vector<Refusal> try_children(pg::Connection& connection,
                                  const Table& source,
                                  const QualifiedName& shadow,
                                  const std::string& schema) {
  const std::vector<Child> children = read_children(connection, source.oid);
  if (children.empty()) return {};
  const QualifiedName old =
      copy_columns(connection, source.oid, source.name, schema);
  const auto alter = [&](const QualifiedName& child, const char* how,
                         const QualifiedName& parent) {
    connection.exec(fmt::format("ALTER TABLE {} {} {}", child.quoted(), how,
                                parent.quoted()));
  };
  for (const Child& child : children) {
    try {
      const QualifiedName copy =
          copy_columns(connection, child.oid, child.name, schema);
      alter(copy, "INHERIT", old);
      alter(copy, "INHERIT", shadow);
      alter(copy, "NO INHERIT", old);
    } catch (const pg::SqlError& error) {
      if (error.remedy() != Remedy::kFail) throw;
      return {{.what = fmt::format("{} cannot inherit again from {} with its "
                                   "new shape: {}",
                                   child.name.display(), source.name.display(),
                                   error.what()),
               .remedy = "ALTER TABLE .. NO INHERIT, and INHERIT after the "
                         "migration"}};
    }
  }
  return {};
}

}  // namespace pgrecast::plan
